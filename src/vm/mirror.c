#include "vm/mirror.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One index file that apt would fetch, in words of its Release file and its URI. Words that apt does not know, because
 * that file was never fetched, stay as they are: "$(ORIGIN)". */
#define TARGETS \
    "apt-get indextargets %s --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)|' 'Created-By: Packages' 2>/dev/null"

static void trim_slashes(char *url)
{
    for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
        url[n - 1] = '\0';
}

/* "mirror+file:/etc/apt/mirrors/debian.list": the first URL in that file takes its place. */
static void follow_mirror_list(char *url, size_t size)
{
    FILE *file = fopen(url + strlen("mirror+file:"), "re");
    char line[512];
    *url = '\0';
    while (file && *url == '\0' && fgets(line, sizeof(line), file)) {
        line[strcspn(line, " \t\r\n#")] = '\0';
        snprintf(url, size, "%s", line);
    }
    if (file)
        fclose(file);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Debian proper: by its Release file, or else by how mirrors name the directory. */
static bool is_debian(const char *origin, const char *label, const char *url)
{
    if (*origin != '$')
        return strcmp(origin, "Debian") == 0 && strcmp(label, "Debian") == 0;
    return ends_with(url, "/debian");
}

static bool is_supported(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0 ||
           strncmp(url, "file:/", 6) == 0;
}

/* Reads a line of TARGETS; stores the mirror's URL if it is Debian's. */
static bool parse_target(char *line, char *url, size_t size)
{
    char *rest = line;
    const char *origin = strsep(&rest, "|"), *label = strsep(&rest, "|"), *uri = strsep(&rest, "|");
    if (!uri)
        return false;
    snprintf(url, size, "%s", uri);
    trim_slashes(url);
    if (strncmp(url, "mirror+file:", 12) == 0) {
        follow_mirror_list(url, size);
        trim_slashes(url);
    }
    return is_debian(origin, label, url) && is_supported(url);
}

/* With "--no-release-info" apt names repositories that it has never fetched, too. */
static bool search_targets(const char *option, char *url, size_t size)
{
    char command[256], line[1024];
    bool found = false;
    snprintf(command, sizeof(command), TARGETS, option);
    FILE *apt = popen(command, "re");
    while (apt && fgets(line, sizeof(line), apt))
        found = found || parse_target(line, url, size);
    if (apt)
        pclose(apt);
    return found;
}

int mirror_find(char **url, struct guise_error *err)
{
    char text[512];
    if (!search_targets("", text, sizeof(text)) && !search_targets("--no-release-info", text, sizeof(text)))
        return error_set(err, GUISE_E_CONFIG,
                         "apt on this host names no Debian mirror: give one with --mirror URL");
    *url = strdup(text);
    return *url ? 0 : error_set(err, GUISE_E_NOMEM, "out of memory");
}
