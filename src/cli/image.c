/* guise image pull | list | remove */
#include "cli/cli.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

/* ---- pull ---- */

static int pull(const struct verb *verb, int argc, char **argv)
{
    static const struct option options[] = {
        {"mirror", required_argument, NULL, 'm'},
        {"include", required_argument, NULL, 'i'},
        {"name", required_argument, NULL, 'n'},
        {"force", no_argument, NULL, 'f'},
        {"boot", no_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct cli_progress display = {0};
    struct guise_pull request = {.monitor = "/proc/self/exe", .progress = cli_progress, .context = &display};
    struct guise_error err = {0};
    bool present, boot = false;
    int status, option;
    optind = 1;
    while ((option = cli_getopt(verb, argc, argv, ":h", options, &status)) != CLI_END) {
        switch (option) {
        case CLI_DONE: return status;
        case 'm': request.mirror = optarg; break;
        case 'i': request.include = optarg; break;
        case 'n': request.name = optarg; break;
        case 'b': boot = true; break;
        default: request.force = true; break;
        }
    }
    if (argc - optind != 1)
        return cli_usage(verb, "one image is needed, for example debian:trixie");
    request.image = argv[optind];
    int r = boot ? guise_image_prepare(&request, &present, &err) : guise_image_pull(&request, &present, &err);
    cli_progress_end(&display);
    if (r)
        return cli_fail(&err);
    const char *name = request.name ? request.name : request.image;
    fprintf(stderr, "guise: %s %s; ", name,
            present ? "is there already (--force makes it anew)" : "is ready");
    fprintf(stderr, boot ? "guise boot %s\n" : "a shell in it: guise run --root %s bash\n", name);
    return 0;
}

/* ---- list ---- */

static int print_json(const struct guise_image *images, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_pack("{s:s, s:s, s:I}", "name", images[i].name, "path",
                                               images[i].path, "created", (json_int_t)images[i].created));
    int r = json_dumpf(array, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(array);
    puts("");
    return r ? guise_error_status(GUISE_E_IO) : 0;
}

static void print_table(const struct guise_image *images, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char created[32] = "";
        struct tm tm;
        time_t when = (time_t)images[i].created;
        if (localtime_r(&when, &tm))
            strftime(created, sizeof(created), "%Y-%m-%d %H:%M", &tm);
        printf("%-24s %s  %s\n", images[i].name, created, images[i].path);
    }
}

static int list(const struct verb *verb, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct guise_error err = {0};
    struct guise_image *images;
    size_t count;
    bool json = false;
    int status = 0, option;
    optind = 1;
    while ((option = cli_getopt(verb, argc, argv, ":h", options, &status)) != CLI_END) {
        if (option == CLI_DONE)
            return status;
        json = true;
    }
    if (optind != argc)
        return cli_usage(verb, "list takes no names");
    if (guise_image_list(&images, &count, &err))
        return cli_fail(&err);
    if (json)
        status = print_json(images, count);
    else
        print_table(images, count);
    guise_images_free(images, count);
    return status;
}

/* ---- remove ---- */

static int remove_images(const struct verb *verb, int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    struct guise_error err = {0};
    int status = 0;
    optind = 1;
    if (cli_getopt(verb, argc, argv, ":h", options, &status) == CLI_DONE)
        return status;
    if (optind == argc)
        return cli_usage(verb, "the name of an image is needed; guise image list shows them");
    for (; optind < argc && status == 0; optind++)
        if (guise_image_remove(argv[optind], &err))
            status = cli_fail(&err);
    return status;
}

static const struct {
    const char *name;
    int (*run)(const struct verb *verb, int argc, char **argv);
} actions[] = {{"pull", pull}, {"list", list}, {"remove", remove_images}};

static int image(const struct verb *verb, int argc, char **argv)
{
    const char *const names[] = {"pull", "list", "remove", NULL};
    if (argc < 2)
        return cli_usage(verb, "say what to do: pull, list or remove");
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(argv[1], actions[i].name) == 0)
            return actions[i].run(verb, argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli_print_help(verb);
        return 0;
    }
    const char *nearest = cli_nearest(argv[1], names);
    return nearest ? cli_usage(verb, "unknown action '%s'; did you mean '%s'?", argv[1], nearest)
                   : cli_usage(verb, "unknown action '%s'", argv[1]);
}

const struct verb verb_image = {
    .name = "image",
    .summary = "make, list and remove root directories",
    .usage = "image pull|list|remove ...",
    .help =
        "An image is a root directory with riscv64 programs, kept by name for guise run --root.\n"
        "\n"
        "guise image pull [options] debian:SUITE\n"
        "  Makes a minimal Debian root with debootstrap; its second stage runs under Guise. No rights are needed.\n"
        "  --include PKG,...   more packages\n"
        "  --mirror URL        Debian's mirror; default: the one in this host's apt configuration\n"
        "  --boot              and what guise boot needs of it: a system with a kernel on a disk of its own\n"
        "  --name NAME         name of the image, like debian:trixie; default: the suite's\n"
        "  --force             make it anew when it is there already\n"
        "guise image list [--json]\n"
        "guise image remove NAME...\n"
        "\n"
        "Images are kept in $GUISE_DATA/images, by default ~/.local/share/guise/images.\n"
        "\n"
        "Examples:\n"
        "  guise image pull debian:trixie\n"
        "  guise image pull --include=gcc,libc6-dev,make --name=build debian:trixie\n"
        "  guise run --root debian:trixie bash\n",
    .run = image,
};
