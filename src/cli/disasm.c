#include "cli/cli.h"

static int disasm(const struct verb *verb, int argc, char **argv)
{
    static const struct option options[] = {
        {"section", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    enum guise_disasm_format format = GUISE_DISASM_TEXT;
    struct guise_error err = {0};
    const char *section = NULL;
    int status, option;
    optind = 1;
    while ((option = cli_getopt(verb, argc, argv, ":hs:", options, &status)) != CLI_END) {
        if (option == CLI_DONE)
            return status;
        if (option == 's')
            section = optarg;
        else
            format = GUISE_DISASM_JSON;
    }
    if (argc - optind != 1)
        return cli_usage(verb, "one file is needed");
    return guise_disasm(argv[optind], section, format, stdout, &err) ? cli_fail(&err) : 0;
}

const struct verb verb_disasm = {
    .name = "disasm",
    .summary = "list the code of a riscv64 program",
    .usage = "disasm [--section NAME] [--json] FILE",
    .help =
        "Lists the instructions in the executable sections of a riscv64 ELF file, with its symbols as labels.\n"
        "\n"
        "  -s, --section NAME   list this section alone\n"
        "  --json               one JSON object a line: {\"address\", \"label\"} or\n"
        "                       {\"address\", \"length\", \"word\", \"valid\", \"text\"}\n"
        "\n"
        "Examples:\n"
        "  guise disasm ./hello | less\n"
        "  guise disasm --section .plt ./dynamic\n",
    .run = disasm,
};
