/* guise run: this process becomes the guest. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Long options without a letter. OPT_FIRST + n: a property of the VM, with the option's value as its value. */
enum {
    OPT_ROOT = 256,
    OPT_BIND,
    OPT_ENV,
    OPT_CWD,
    OPT_ENGINE,
    OPT_ENGINE_OPTIONS,
    OPT_DUMP,
    OPT_CPU,
    OPT_ADDRESS_BITS,
    OPT_ARGV0,
    OPT_EXECFN,
    OPT_STRACE,
    OPT_STATS,
    OPT_FAKE_IDS,
    OPT_IDS,
    OPT_MONITOR_FD,
    OPT_REPORT_FD,
};

static const struct option options[] = {
    {"sysroot", required_argument, NULL, 'L'},
    {"root", required_argument, NULL, OPT_ROOT},
    {"bind", required_argument, NULL, OPT_BIND},
    {"env", required_argument, NULL, OPT_ENV},
    {"cwd", required_argument, NULL, OPT_CWD},
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"engine-options", required_argument, NULL, OPT_ENGINE_OPTIONS},
    {"dump", required_argument, NULL, OPT_DUMP},
    {"cpu", required_argument, NULL, OPT_CPU},
    {"address-bits", required_argument, NULL, OPT_ADDRESS_BITS},
    {"argv0", required_argument, NULL, OPT_ARGV0},
    {"execfn", required_argument, NULL, OPT_EXECFN},
    {"strace", no_argument, NULL, OPT_STRACE},
    {"stats", optional_argument, NULL, OPT_STATS},
    {"fake-ids", no_argument, NULL, OPT_FAKE_IDS},
    {"ids", required_argument, NULL, OPT_IDS},
    {"monitor-fd", required_argument, NULL, OPT_MONITOR_FD},
    {"report-fd", required_argument, NULL, OPT_REPORT_FD},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* Every option is the property of the same name; some have a value of their own. */
static int set_option(struct guise_vm *vm, int option, struct guise_error *err)
{
    const char *value = optarg;
    if (option == OPT_STRACE || option == OPT_FAKE_IDS)
        value = "on";
    if (option == OPT_STATS && !value)
        value = "text";
    return guise_vm_set(vm, cli_option_name(options, option), value, err);
}

static int list_extensions(void)
{
    puts(
        "max: all of these; rv64gc: i m a f d c zicsr zifencei. Changes follow, as in max,zacas=off or rv64gc,zba.");
    for (unsigned i = 0; guise_cpu_extension(i); i++)
        puts(guise_cpu_extension(i));
    return 0;
}

/* Sets the program and its arguments, and becomes it. Returns the exit status of a failure. */
static int run_program(struct guise_vm *vm, char **words, struct guise_error *err)
{
    int r = guise_vm_set(vm, "program", words[0], err);
    for (char **word = words; r == 0 && *word; word++)
        r = guise_vm_set(vm, "arg", *word, err);
    if (r == 0)
        r = guise_vm_set(vm, "monitor", "/proc/self/exe", err);
    if (r == 0)
        guise_vm_exec(vm, err);
    return cli_fail(err);
}

static int parse(const struct verb *verb, struct guise_vm *vm, int argc, char **argv)
{
    struct guise_error err = {0};
    int option, status;
    optind = 1;
    while ((option = cli_getopt(verb, argc, argv, "+:L:h", options, &status)) != CLI_END) {
        if (option == CLI_DONE)
            return status;
        if (option == OPT_CPU && strcmp(optarg, "help") == 0)
            return list_extensions();
        if (set_option(vm, option, &err))
            return cli_usage(verb, "%s", err.text);
    }
    if (optind == argc)
        return cli_usage(verb, "no program to run");
    return run_program(vm, argv + optind, &err);
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    if (!vm)
        return cli_fail(&(struct guise_error){GUISE_E_NOMEM, "out of memory"});
    int status = parse(verb, vm, argc, argv);
    guise_vm_free(vm);
    return status;
}

/* The kernel gives: guise-binfmt, the program's path, its argv[0] (flag P), its arguments. */
int binfmt_main(int argc, char **argv)
{
    struct guise_error err = {0};
    struct guise_vm *vm;
    if (argc < 3) {
        fprintf(stderr, "guise: guise-binfmt is for the kernel: see guise binfmt --help\n");
        return guise_error_status(GUISE_E_USAGE);
    }
    vm = guise_vm_new(GUISE_PROCESS);
    int r = vm ? guise_vm_set(vm, "program", argv[1], &err) : GUISE_E_NOMEM;
    if (r == 0)
        r = guise_vm_set(vm, "execfn", argv[1], &err);
    for (int i = 2; r == 0 && i < argc; i++)
        r = guise_vm_set(vm, "arg", argv[i], &err);
    if (r == 0)
        r = guise_vm_set(vm, "monitor", "/proc/self/exe", &err);
    if (r == 0)
        r = guise_vm_exec(vm, &err);
    guise_vm_free(vm);
    return err.code ? cli_fail(&err) : guise_error_status(r);
}

const struct verb verb_run = {
    .name = "run",
    .summary = "run a riscv64 program",
    .usage = "run [options] [--] PROGRAM [ARG...]",
    .help =
        "Runs a riscv64 Linux program. Its standard streams, exit status and signals are its own.\n"
        "A PROGRAM without a slash is looked for in PATH. What follows PROGRAM belongs to it.\n"
        "\n"
        "Where it runs:\n"
        "  -L, --sysroot DIR    look for the loader and libraries in DIR first\n"
        "  --root DIR|IMAGE     make DIR (or an image, see guise image) its root directory; no rights are needed\n"
        "  --bind SRC[:DST]     show the host's SRC inside the root; a missing DST is made (may be repeated)\n"
        "  --cwd DIR            its working directory (inside the root)\n"
        "  --env NAME=VALUE     set a variable of its environment; --env NAME removes it (may be repeated)\n"
        "\n"
        "How it runs:\n"
        "  --engine=NAME        what runs its instructions: jit (default), interp, lockstep (both, compared; slow)\n"
        "  --cpu LIST           extensions that it sees: max (default), rv64gc, max,zacas=off, ...; help lists them\n"
        "  --address-bits N     size of its address space, 39 (default) to 46\n"
        "  --argv0 NAME         its argv[0]\n"
        "\n"
        "What Guise shows on standard error:\n"
        "  --strace             system calls\n"
        "  --stats[=json]       counters at its end\n"
        "  --dump=LIST          translated code as it is made: guest, ir, host\n"
        "\n"
        "Used by Guise itself when a program executes another: --execfn PATH, --fake-ids,\n"
        "--ids LIST, --monitor-fd N, --report-fd N.\n"
        "\n"
        "Exit status: the program's own; 2 wrong usage, 125 an error of Guise, 126 the program cannot be run,\n"
        "127 it is not found.\n"
        "\n"
        "Examples:\n"
        "  guise run ./hello world\n"
        "  guise run -L /usr/riscv64-linux-gnu ./dynamic\n"
        "  guise run --root debian:trixie --bind \"$PWD:/work\" --cwd /work bash\n",
    .run = run,
};
