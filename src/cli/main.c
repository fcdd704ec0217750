/* The command line: finds the verb. */
#include "cli/cli.h"

#include <string.h>

static const struct verb *const verbs[] = {
    &verb_run, &verb_boot, &verb_image, &verb_disasm, &verb_binfmt, &verb_version, NULL,
};

const struct verb *const *cli_verbs(void)
{
    return verbs;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; verbs[i]; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void print_overview(FILE *out)
{
    fprintf(
        out,
        "Guise runs riscv64 Linux programs and computers on x86-64.\n\nUsage: guise VERB [options] ...\n\nVerbs:\n");
    for (size_t i = 0; verbs[i]; i++)
        fprintf(out, "  %-9s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out, "  %-9s %s\n", "help", "say more about a verb");
    fprintf(out, "\nExamples:\n"
                 "  guise run ./hello                      run a static riscv64 program\n"
                 "  guise image pull debian:trixie         make a Debian root directory for riscv64\n"
                 "  guise run --root debian:trixie bash    a shell in it\n"
                 "  guise boot debian:trixie               a riscv64 computer that boots it\n"
                 "\nguise VERB --help says more.\n");
}

static int unknown_verb(const char *name)
{
    const char *names[sizeof(verbs) / sizeof(verbs[0]) + 1];
    size_t count = 0;
    for (; verbs[count]; count++)
        names[count] = verbs[count]->name;
    names[count] = "help";
    names[count + 1] = NULL;
    const char *nearest = cli_nearest(name, names);
    return nearest ? cli_usage(NULL, "unknown verb '%s'; did you mean '%s'?", name, nearest)
                   : cli_usage(NULL, "unknown verb '%s'", name);
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stdout);
        return 0;
    }
    const struct verb *verb = find_verb(argv[1]);
    if (!verb)
        return unknown_verb(argv[1]);
    cli_print_help(verb);
    return 0;
}

static bool called_as(const char *path, const char *name)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return path && strcmp(slash ? slash + 1 : path, name) == 0;
}

int main(int argc, char **argv)
{
    if (argc > 0 && called_as(argv[0], "guise-binfmt"))
        return binfmt_main(argc, argv);
    if (argc < 2) {
        print_overview(stderr);
        return guise_error_status(GUISE_E_USAGE);
    }
    const struct verb *verb = find_verb(argv[1]);
    if (verb)
        return verb->run(verb, argc - 1, argv + 1);
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return verb_version.run(&verb_version, 1, argv + 1);
    if (argv[1][0] == '-')
        return cli_usage(NULL, "unknown option %s; a verb comes first, as in: guise run PROGRAM", argv[1]);
    return unknown_verb(argv[1]);
}
