#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int cli_fail(const struct guise_error *err)
{
    fprintf(stderr, "guise: %s\n", err->text);
    return guise_error_status(err->code);
}

int cli_usage(const struct verb *verb, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("guise: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry: guise %s%s--help\n", verb ? verb->name : "", verb ? " " : "");
    return guise_error_status(GUISE_E_USAGE);
}

void cli_print_help(const struct verb *verb)
{
    printf("Usage: guise %s\n\n%s", verb->usage, verb->help);
}

/* ---- Suggestions ---- */

enum { WORD_MAX = 31 };

/* How many letters must be added, removed or changed to get from `a` to `b`. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (unsigned j = 0; j <= m; j++)
        row[j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            unsigned add = row[j - 1] + 1, drop = row[j] + 1;
            diagonal = row[j];
            row[j] = change < add ? change : add;
            if (drop < row[j])
                row[j] = drop;
        }
    }
    return row[m];
}

const char *cli_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    unsigned least = (unsigned)strlen(word) / 3 + 2; /* a third of the letters may be wrong */
    for (; *names; names++) {
        unsigned d = distance(word, *names);
        if (d < least) {
            least = d;
            best = *names;
        }
    }
    return best;
}

/* ---- Options ---- */

static int unknown_option(const struct verb *verb, const char *word, const struct option *options)
{
    const char *names[64];
    char name[WORD_MAX + 1];
    size_t count = 0;
    for (; options->name && count + 1 < sizeof(names) / sizeof(names[0]); options++)
        names[count++] = options->name;
    names[count] = NULL;
    if (strncmp(word, "--", 2) != 0)
        return cli_usage(verb, "unknown option -%c", optopt);
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *nearest = cli_nearest(name, names);
    return nearest ? cli_usage(verb, "unknown option --%s; did you mean --%s?", name, nearest)
                   : cli_usage(verb, "unknown option --%s", name);
}

/* getopt_long() leaves `val` of a long option in optopt when its argument is wrong. */
static bool is_known(int value, const char *letters, const struct option *options)
{
    if (value && value < 256 && strchr(letters, value))
        return true;
    for (; options->name; options++)
        if (options->val == value)
            return true;
    return false;
}

const char *cli_option_name(const struct option *options, int val)
{
    while (options->val != val)
        options++;
    return options->name;
}

int cli_getopt(const struct verb *verb, int argc, char **argv, const char *letters,
               const struct option *options, int *status)
{
    opterr = 0;
    int option = getopt_long(argc, argv, letters, options, NULL);
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    switch (option) {
    case 'h':
        cli_print_help(verb);
        *status = 0;
        return CLI_DONE;
    case ':': *status = cli_usage(verb, "%s needs a value", word); return CLI_DONE;
    case '?':
        *status = is_known(optopt, letters, options) ? cli_usage(verb, "%s takes no value", word)
                                                     : unknown_option(verb, word, options);
        return CLI_DONE;
    default: return option;
    }
}

/* ---- Progress ---- */

static unsigned terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* On a terminal one line that changes; elsewhere a line for each phase. */
void cli_progress(void *context, const struct guise_progress *progress)
{
    struct cli_progress *display = context;
    char count[32] = "", line[256];
    if (!isatty(STDERR_FILENO)) {
        if (strcmp(display->phase, progress->phase) != 0)
            fprintf(stderr, "guise: %s\n", progress->phase);
    } else {
        if (progress->total)
            snprintf(count, sizeof(count), " %u/%u", progress->done, progress->total);
        else if (progress->done)
            snprintf(count, sizeof(count), " %u", progress->done);
        snprintf(line, sizeof(line), "%s%s %s", progress->phase, count, progress->item);
        fprintf(stderr, "\r\033[K%.*s", (int)terminal_width() - 1, line);
    }
    snprintf(display->phase, sizeof(display->phase), "%s", progress->phase);
}

void cli_progress_end(const struct cli_progress *display)
{
    if (isatty(STDERR_FILENO) && *display->phase)
        fprintf(stderr, "\r\033[K");
}
