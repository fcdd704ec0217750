/* guise boot: runs a machine in this process. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

enum {
    OPT_KERNEL = 256,
    OPT_INITRD,
    OPT_APPEND,
    OPT_BIOS,
    OPT_DISK,
    OPT_NET,
    OPT_CPUS,
    OPT_CPU,
    OPT_MEMORY,
    OPT_SERIAL,
    OPT_CONSOLE,
    OPT_VIRTIO,
    OPT_INTERRUPTS,
    OPT_NO_REBOOT,
    OPT_TEMPORARY,
    OPT_TIMEOUT,
    OPT_DUMP_DTB,
    OPT_ENGINE,
    OPT_ENGINE_OPTIONS,
    OPT_MMU,
    OPT_DUMP,
    OPT_STATS,
};

static const struct option options[] = {
    {"kernel", required_argument, NULL, OPT_KERNEL},
    {"initrd", required_argument, NULL, OPT_INITRD},
    {"append", required_argument, NULL, OPT_APPEND},
    {"bios", required_argument, NULL, OPT_BIOS},
    {"disk", required_argument, NULL, OPT_DISK},
    {"net", required_argument, NULL, OPT_NET},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"cpu", required_argument, NULL, OPT_CPU},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"serial", required_argument, NULL, OPT_SERIAL},
    {"console", required_argument, NULL, OPT_CONSOLE},
    {"virtio", required_argument, NULL, OPT_VIRTIO},
    {"interrupts", required_argument, NULL, OPT_INTERRUPTS},
    {"mmu", required_argument, NULL, OPT_MMU},
    {"no-reboot", no_argument, NULL, OPT_NO_REBOOT},
    {"temporary", no_argument, NULL, OPT_TEMPORARY},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"dump-dtb", required_argument, NULL, OPT_DUMP_DTB},
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"engine-options", required_argument, NULL, OPT_ENGINE_OPTIONS},
    {"dump", required_argument, NULL, OPT_DUMP},
    {"stats", optional_argument, NULL, OPT_STATS},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* Every option is the property of the same name; those without a value have one of their own. */
static int set_option(struct guise_vm *vm, int option, struct guise_error *err)
{
    switch (option) {
    case OPT_NO_REBOOT: return guise_vm_set(vm, "reboot", "off", err);
    case OPT_TEMPORARY: return guise_vm_set(vm, "temporary", "on", err);
    case OPT_STATS: return guise_vm_set(vm, "stats", optarg ? optarg : "text", err);
    default: return guise_vm_set(vm, cli_option_name(options, option), optarg, err);
    }
}

/* What has become of the machine, for a shell. */
static int exit_status(enum guise_end end)
{
    switch (end) {
    case GUISE_END_POWER_OFF: return 0;
    case GUISE_END_REBOOT: return 3;
    case GUISE_END_FAILURE: return 4;
    case GUISE_END_QUIT: return 5;
    case GUISE_END_TIMEOUT: return 124;
    case GUISE_END_SIGNAL: return 130;
    }
    return guise_error_status(GUISE_E_SYSTEM);
}

static int start(struct guise_vm *vm)
{
    struct guise_error err = {0};
    enum guise_end end;
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "guise: Ctrl-] q ends the machine, Ctrl-] h shows what else there is\n");
    if (guise_vm_boot(vm, &end, &err))
        return cli_fail(&err);
    if (end == GUISE_END_TIMEOUT)
        fprintf(stderr, "guise: the time is over\n");
    return exit_status(end);
}

/* What it boots is made on first use. */
static int prepare(const char *image, struct guise_error *err)
{
    struct cli_progress display = {0};
    const struct guise_pull request = {
        .image = image, .monitor = "/proc/self/exe", .progress = cli_progress, .context = &display};
    int r = guise_image_prepare(&request, NULL, err);
    cli_progress_end(&display);
    return r;
}

static int parse(const struct verb *verb, struct guise_vm *vm, int argc, char **argv)
{
    struct guise_error err = {0};
    int option, status;
    optind = 1;
    while ((option = cli_getopt(verb, argc, argv, ":h", options, &status)) != CLI_END) {
        if (option == CLI_DONE)
            return status;
        if (set_option(vm, option, &err))
            return cli_usage(verb, "%s", err.text);
    }
    if (argc - optind > 1)
        return cli_usage(verb, "one image at most: '%s' is too much", argv[optind + 1]);
    if (optind < argc) {
        if (guise_vm_set(vm, "image", argv[optind], &err))
            return cli_usage(verb, "%s", err.text);
        if (prepare(argv[optind], &err))
            return cli_fail(&err);
    }
    return start(vm);
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct guise_vm *vm = guise_vm_new(GUISE_MACHINE);
    if (!vm)
        return cli_fail(&(struct guise_error){GUISE_E_NOMEM, "out of memory"});
    int status = parse(verb, vm, argc, argv);
    guise_vm_free(vm);
    return status;
}

const struct verb verb_boot = {
    .name = "boot",
    .summary = "boot a riscv64 computer",
    .usage = "boot [options] [IMAGE]",
    .help =
        "Boots a riscv64 computer: an IMAGE (see guise image), or what the options name.\n"
        "On a terminal, Ctrl-] q ends it and Ctrl-] h shows what else there is.\n"
        "\n"
        "What it boots:\n"
        "  --kernel FILE        a kernel: an Image, or ELF\n"
        "  --initrd FILE        its initial RAM disk\n"
        "  --append TEXT        its command line; with IMAGE, more of it\n"
        "  --bios FILE          firmware that runs in M-mode, like OpenSBI's fw_dynamic.bin or fw_jump.bin\n"
        "\n"
        "What it has:\n"
        "  --cpus N             harts, 1 (default) to 64\n"
        "  --memory SIZE        512M, 2G, ...; default 1G\n"
        "  --disk FILE[,ro]     a raw disk image (may be repeated)\n"
        "  --net user|none      a network behind the host's (default with IMAGE), or none. With\n"
        "                       user,hostfwd=tcp:[ADDRESS]:PORT-:PORT (or udp) a port of the host, by default at\n"
        "                       127.0.0.1, leads to the guest's; the guest reaches the host's own as 10.0.2.2\n"
        "  --serial WHERE       its serial port: stdio (default), file:FILE, pty, none\n"
        "  --console WHERE      its virtio console, likewise; default: it has none\n"
        "  --virtio pci|mmio    how virtio devices are attached; default pci\n"
        "  --interrupts NAME    what interrupts harts: imsic (default with IMAGE; MSI-X, Linux 6.10 and later), plic\n"
        "                       (default with --kernel; every Linux), or aplic\n"
        "  --mmu sv39|sv48|sv57 its largest page tables; default sv39, with which its programs run fastest\n"
        "  --temporary          drop at the end what it writes to IMAGE's disk\n"
        "\n"
        "How it runs:\n"
        "  --engine=NAME        what runs its instructions: jit (default), interp, lockstep (both, compared; slow)\n"
        "  --cpu LIST           extensions that it has, as for guise run\n"
        "  --no-reboot          a reboot ends it\n"
        "  --timeout SECONDS    end it after that time\n"
        "  --stats[=json]       counters on standard error at its end\n"
        "  --dump-dtb FILE      write its device tree and do not start it\n"
        "\n"
        "Exit status: 0 the guest switched it off, 3 it rebooted (--no-reboot), 4 it reported a failure (a kernel:\n"
        "that it panics, if its command line has panic=-1 reboot=panic_warm, as an IMAGE's has), 5 Ctrl-] q,\n"
        "124 the time was over, 130 a signal ended it; 2 wrong usage, 125 an error of Guise, 127 something is\n"
        "not found.\n"
        "\n"
        "Examples:\n"
        "  guise boot debian:trixie\n"
        "  guise boot --cpus 4 --memory 4G --net user,hostfwd=tcp::2222-:22 debian:trixie\n"
        "  guise boot --kernel Image --initrd initramfs.cpio --append \"console=ttyS0 panic=-1\" --no-reboot\n",
    .run = run,
};
