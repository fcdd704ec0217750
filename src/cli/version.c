#include "cli/cli.h"

static int version(const struct verb *verb, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool json = false;
    int status, option;
    optind = 1;
    while ((option = cli_getopt(verb, argc, argv, "+:h", options, &status)) != CLI_END) {
        if (option == CLI_DONE)
            return status;
        json = true;
    }
    printf(json ? "{\"version\": \"%s\"}\n" : "guise %s\n", GUISE_VERSION);
    return 0;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "print the version",
    .usage = "version [--json]",
    .help = "Prints the version of Guise; guise --version does so too.\n",
    .run = version,
};
