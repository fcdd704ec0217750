#include "vm/index.h"

#include "base/buf.h"
#include "base/error.h"
#include "vm/list.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INDEXES "/var/lib/apt/lists/*_Packages"

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first word of each line of `path`, sorted. */
static bool read_names(const char *path, struct list *names)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    bool ok = file;
    while (ok && getline(&line, &size, file) > 0) {
        line[strcspn(line, " \n")] = '\0';
        ok = list_add(names, line);
    }
    free(line);
    if (file)
        fclose(file);
    if (ok && names->count)
        qsort(names->items, names->count, sizeof(names->items[0]), compare_names);
    return ok;
}

static bool is_wanted(const struct list *names, const char *line)
{
    static const char key[] = "Package: ";
    if (strncmp(line, key, strlen(key)) != 0)
        return false;
    char *name = strndup(line + strlen(key), strcspn(line + strlen(key), "\n"));
    bool found = name && names->count &&
                 bsearch(&name, names->items, names->count, sizeof(names->items[0]), compare_names);
    free(name);
    return found;
}

/* A stanza starts with its Package field and ends with an empty line. */
static void copy_stanzas(FILE *from, FILE *to, const struct list *names)
{
    char *line = NULL;
    size_t size = 0;
    bool starts = true, wanted = false;
    while (getline(&line, &size, from) > 0) {
        if (starts)
            wanted = is_wanted(names, line);
        if (wanted)
            fputs(line, to);
        starts = *line == '\n';
    }
    free(line);
}

static int reduce_one(const char *path, const struct list *names)
{
    char reduced[PATH_MAX];
    if (snprintf(reduced, sizeof(reduced), "%s.reduced", path) >= (int)sizeof(reduced))
        return -ENAMETOOLONG;
    FILE *from = fopen(path, "re"), *to = from ? fopen(reduced, "we") : NULL;
    int error = to ? 0 : errno;
    if (to) {
        copy_stanzas(from, to, names);
        bool bad = ferror(from) || ferror(to);
        if (fclose(to) || bad || rename(reduced, path))
            error = errno ? errno : EIO;
    }
    if (from)
        fclose(from);
    return error;
}

int index_reduce(const char *root, struct guise_error *err)
{
    struct buf names_path = {0}, pattern = {0};
    struct list names = {0};
    glob_t found = {0};
    buf_printf(&names_path, "%s/debootstrap/debpaths", root);
    buf_printf(&pattern, "%s" INDEXES, root);
    int r = 0;
    if (names_path.failed || pattern.failed || !read_names(names_path.data, &names))
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot read the list of packages in %s", root);
    else if (glob(pattern.data, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && r == 0; i++) {
            int error = reduce_one(found.gl_pathv[i], &names);
            if (error)
                r = error_set_errno(err, GUISE_E_IO, error, "cannot write %s", found.gl_pathv[i]);
        }
    globfree(&found);
    list_release(&names);
    buf_release(&names_path);
    buf_release(&pattern);
    return r;
}

void index_remove(void)
{
    glob_t found = {0};
    if (glob(INDEXES, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            unlink(found.gl_pathv[i]);
    globfree(&found);
}
