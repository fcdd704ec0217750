/* What the verbs of the command line share. A verb is one file with one function; main.c has the table of them.
 * Only main() ends the process. Threads: one. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <getopt.h>
#include <guise.h>

struct verb {
    const char *name, *summary;
    const char *usage, *help; /* one line after "guise "; the text below it */
    int (*run)(const struct verb *verb, int argc,
               char **argv); /* argv[0] is the verb; returns the exit status */
};

extern const struct verb verb_run, verb_boot, verb_image, verb_disasm, verb_binfmt, verb_version;

/* What the kernel calls for a riscv64 program that is executed: argv is guise-binfmt, path, argv[0], arguments. */
int binfmt_main(int argc, char **argv);

/* All verbs, NULL-terminated. */
const struct verb *const *cli_verbs(void);

/* Prints "guise: ..." and returns the exit status. */
int cli_fail(const struct guise_error *err);
int cli_usage(const struct verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

void cli_print_help(const struct verb *verb);

/* getopt_long() that ends at the first word that is no option, knows --help and explains what is wrong.
 * Returns the option's `val`, CLI_END, or CLI_DONE when the verb must return *status. */
enum { CLI_END = -1, CLI_DONE = -2 };
int cli_getopt(const struct verb *verb, int argc, char **argv, const char *letters,
               const struct option *options, int *status);

/* The name of the option whose `val` this is: there is one. */
const char *cli_option_name(const struct option *options, int val);

/* Shows how far something is, as `progress` of struct guise_pull with a zeroed struct cli_progress as its context. */
struct cli_progress {
    char phase[64];
};

void cli_progress(void *context, const struct guise_progress *progress);
void cli_progress_end(const struct cli_progress *display);

/* Of the NULL-terminated names the one most like `word`, NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *names);

#endif
