#include "cli/cli.h"

static int binfmt(const struct verb *verb, int argc, char **argv)
{
    static const struct option options[] = {
        {"install", no_argument, NULL, 'i'},
        {"remove", no_argument, NULL, 'r'},
        {"print", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct guise_error err = {0};
    int status, option, action = 0, r;
    optind = 1;
    while ((option = cli_getopt(verb, argc, argv, ":h", options, &status)) != CLI_END) {
        if (option == CLI_DONE)
            return status;
        if (action)
            return cli_usage(verb, "one of --install, --remove and --print is enough");
        action = option;
    }
    if (optind != argc || !action)
        return cli_usage(verb, "say --install, --remove or --print");
    if (action == 'i')
        r = guise_binfmt_install("/proc/self/exe", stdout, &err);
    else if (action == 'r')
        r = guise_binfmt_remove(stdout, &err);
    else
        r = guise_binfmt_print("/proc/self/exe", stdout, &err);
    return r ? cli_fail(&err) : 0;
}

const struct verb verb_binfmt = {
    .name = "binfmt",
    .summary = "let the kernel run riscv64 programs by itself",
    .usage = "binfmt --install|--remove|--print",
    .help =
        "Makes Guise the kernel's interpreter for riscv64 programs (binfmt_misc): ./hello then runs like any other.\n"
        "Guise itself does not need this.\n"
        "\n"
        "  --install   register now, and at every boot by /etc/binfmt.d/guise-riscv64.conf (needs root)\n"
        "  --remove    undo that (needs root)\n"
        "  --print     show the line that is registered\n"
        "\n"
        "The kernel starts guise-binfmt, a second name of guise, with the flags P (argv[0] is handed down) and\n"
        "F (it works in other root directories). Set-user-id bits of riscv64 programs have no effect.\n"
        "\n"
        "Examples:\n"
        "  guise binfmt --print\n"
        "  sudo guise binfmt --install\n",
    .run = binfmt,
};
