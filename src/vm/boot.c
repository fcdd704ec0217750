/* From a configured VM to a running machine:
 *
 *   boot_files       kernel, initial RAM disk, disk of the image
 *   boot_backends    event loop, signals, consoles, disks, network
 *   machine_new ─> machine_run ─> machine_free, again after each reboot
 *
 * Everything lives in one struct and is taken down in boot_release(), so that the terminal is itself again on every
 * way out. */
#include "base/error.h"
#include "base/util.h"
#include "block/raw.h"
#include "console/stream.h"
#include "machine/machine.h"
#include "net/user.h"
#include "vm/bootable.h"
#include "vm/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct boot {
    struct guise_vm *vm;
    struct bootable image; /* of the VM's image, if it has one */
    struct machine_config config;
    struct machine *machine; /* NULL: none runs */

    struct loop loop;
    bool has_loop;
    struct console *serial, *console;
    struct net_user net;
    struct list forwards;
    struct loop_source signals, timeout; /* `fd` 0: none */
    sigset_t before;
    struct sigaction pipe_before;

    enum guise_end end; /* of MACHINE_STOPPED */
    bool reset_by_user;
};

static int out_of_memory(struct guise_error *err)
{
    return error_set(err, GUISE_E_NOMEM, "out of memory");
}

/* ---- What ends a machine from outside ---- */

static void stop(struct boot *b, enum guise_end end)
{
    b->end = end;
    machine_stop(b->machine, MACHINE_STOPPED);
}

static void on_signal(void *object, unsigned events)
{
    struct boot *b = object;
    struct signalfd_siginfo info;
    (void)events;
    if (read(b->signals.fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        stop(b, GUISE_END_SIGNAL);
}

static void on_timeout(void *object, unsigned events)
{
    (void)events;
    stop(object, GUISE_END_TIMEOUT);
}

static void on_key(void *object, uint8_t key)
{
    struct boot *b = object;
    switch (key) {
    case 'q': stop(b, GUISE_END_QUIT); break;
    case 'r':
        b->reset_by_user = true;
        machine_stop(b->machine, MACHINE_REBOOT);
        break;
    default:
        fprintf(
            stderr,
            "\r\nguise: after Ctrl-]: q ends the machine, r resets it, Ctrl-] is Ctrl-] for the guest\r\n");
    }
}

static int watch(struct boot *b, struct loop_source *source, int fd,
                 void (*ready)(void *object, unsigned events), struct guise_error *err)
{
    if (fd < 0)
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot watch signals and time");
    *source = (struct loop_source){.fd = fd, .ready = ready, .object = b};
    int r = loop_add(&b->loop, source, LOOP_READ, err);
    if (r) {
        close(fd);
        source->fd = 0;
    }
    return r;
}

static void unwatch(struct loop_source *source)
{
    if (source->fd == 0)
        return;
    loop_remove(source);
    close(source->fd);
}

static int watch_signals(struct boot *b, struct guise_error *err)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
        sigaddset(&set, ending[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return watch(b, &b->signals, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal, err);
}

static int watch_time(struct boot *b, struct guise_error *err)
{
    const struct itimerspec when = {.it_value.tv_sec = b->vm->timeout_seconds};
    if (!b->vm->timeout_seconds)
        return 0;
    int r = watch(b, &b->timeout, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), on_timeout, err);
    if (r == 0 && timerfd_settime(b->timeout.fd, 0, &when, NULL))
        r = error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot set a timer");
    return r;
}

/* ---- Backends ---- */

static int open_console(struct boot *b, const char *name, const char *where, struct console **out,
                        struct guise_error *err)
{
    const struct console_escape escape = {.key = CONSOLE_ESCAPE_KEY, .command = on_key, .object = b};
    if (strcmp(where, "stdio") == 0)
        return console_open_stdio(out, &b->loop, STDIN_FILENO, STDOUT_FILENO, &escape, err);
    if (strcmp(where, "none") == 0)
        return console_open_stdio(out, &b->loop, -1, -1, NULL, err);
    if (strncmp(where, "file:", 5) == 0)
        return console_open_file(out, &b->loop, where + 5, err);
    int r = console_open_pty(out, &b->loop, err);
    if (r == 0)
        fprintf(stderr, "guise: the %s is at %s\n", name, console_name(*out));
    return r;
}

static bool is_stdio(const char *where)
{
    return where && strcmp(where, "stdio") == 0;
}

/* There is one terminal: what is not said goes to the one that is left. */
static int open_consoles(struct boot *b, struct guise_error *err)
{
    const char *console = b->vm->console, *serial = b->vm->serial;
    if (!serial)
        serial = is_stdio(console) ? "none" : "stdio";
    if (is_stdio(serial) && is_stdio(console))
        return error_set(err, GUISE_E_CONFIG, "serial port and console cannot both be stdio");
    int r = open_console(b, "serial port", serial, &b->serial, err);
    if (r == 0 && console)
        r = open_console(b, "console", console, &b->console, err);
    b->config.board.serial = b->serial;
    b->config.board.console = b->console;
    return r;
}

static int add_disk(struct boot *b, const char *path, bool read_only, struct guise_error *err)
{
    for (unsigned i = 0; i < BOARD_MAX_DISKS; i++)
        if (!b->config.board.disks[i])
            return block_raw_open(&b->config.board.disks[i], path, read_only, err);
    return error_set(err, GUISE_E_CONFIG, "a machine has %d disks at most", BOARD_MAX_DISKS);
}

/* "FILE" or "FILE,ro" */
static int open_disk(struct boot *b, const char *text, struct guise_error *err)
{
    size_t length = strlen(text);
    bool read_only = length > 3 && strcmp(text + length - 3, ",ro") == 0;
    char *path = strndup(text, read_only ? length - 3 : length);
    if (!path)
        return out_of_memory(err);
    int r = add_disk(b, path, read_only, err);
    free(path);
    return r;
}

static int open_disks(struct boot *b, struct guise_error *err)
{
    int r = b->image.disk ? add_disk(b, b->image.disk, false, err) : 0;
    for (size_t i = 0; i < b->vm->disks.count && r == 0; i++)
        r = open_disk(b, b->vm->disks.items[i], err);
    return r;
}

/* "user,hostfwd=...,hostfwd=..." */
static int parse_forwards(struct boot *b, const char *text, struct guise_error *err)
{
    static const char key[] = "hostfwd=";
    for (const char *at = text + strcspn(text, ","); *at; at += strcspn(at, ",")) {
        at++;
        size_t length = strcspn(at, ",");
        if (strncmp(at, key, sizeof(key) - 1) != 0)
            return error_set(err, GUISE_E_CONFIG, "net: '%.*s' should be hostfwd=tcp:[ADDRESS]:PORT-:PORT",
                             (int)length, at);
        if (!list_addf(&b->forwards, "%.*s", (int)(length - (sizeof(key) - 1)), at + sizeof(key) - 1))
            return out_of_memory(err);
    }
    return 0;
}

static int open_net(struct boot *b, struct guise_error *err)
{
    const char *net = b->vm->net ? b->vm->net : b->image.disk ? "user" : "none";
    if (strcmp(net, "none") == 0)
        return 0;
    int r = parse_forwards(b, net, err);
    if (r)
        return r;
    const struct net_user_config config = {.forwards = (const char *const *)b->forwards.items,
                                           .count = (unsigned)b->forwards.count};
    if (config.count > NET_USER_MAX_FORWARDS)
        return error_set(err, GUISE_E_CONFIG, "there are %d port forwards at most", NET_USER_MAX_FORWARDS);
    r = net_user_start(&b->net, &b->loop, &config, err);
    if (r == 0)
        b->config.board.net = b->net.net;
    return r;
}

static int boot_backends(struct boot *b, struct guise_error *err)
{
    int r = loop_init(&b->loop, err);
    b->has_loop = r == 0;
    b->config.board.loop = &b->loop;
    /* The terminal comes last: what goes wrong before it is told on one that is as it was. */
    if (r == 0)
        r = watch_signals(b, err);
    if (r == 0)
        r = open_net(b, err);
    if (r == 0)
        r = open_disks(b, err);
    if (r == 0)
        r = watch_time(b, err);
    if (r == 0)
        r = open_consoles(b, err);
    return r;
}

static void boot_release(struct boot *b)
{
    if (b->console)
        console_free(b->console);
    if (b->serial)
        console_free(b->serial);
    for (unsigned i = 0; i < BOARD_MAX_DISKS && b->config.board.disks[i]; i++)
        block_release(b->config.board.disks[i]);
    if (b->net.net)
        net_user_stop(&b->net);
    unwatch(&b->timeout);
    unwatch(&b->signals);
    if (b->has_loop)
        loop_release(&b->loop);
    list_release(&b->forwards);
    bootable_release(&b->image);
}

/* ---- Files ---- */

static int boot_files(struct boot *b, struct guise_error *err)
{
    const struct guise_vm *vm = b->vm;
    int r = vm->image ? bootable_open(&b->image, vm, err) : 0;
    if (r)
        return r;
    b->config.files = (struct loader_files){
        .kernel = vm->kernel ? vm->kernel : b->image.kernel,
        .initrd = vm->initrd || vm->kernel ? vm->initrd : b->image.initrd,
        .append = b->image.append ? b->image.append : vm->append,
        .bios = vm->bios,
    };
    if (!b->config.files.kernel && !vm->bios && !vm->dump_dtb)
        return error_set(err, GUISE_E_USAGE,
                         "nothing to boot: name an image (debian:trixie), or a kernel with --kernel");
    return 0;
}

/* The kernel of an image is one that knows IMSICs; of another, who knows? */
static enum board_interrupts interrupts_of(const struct guise_vm *vm)
{
    bool is_known = vm->image && !vm->kernel;
    const char *name = vm->interrupts ? vm->interrupts : is_known ? "imsic" : "plic";
    return strcmp(name, "plic") == 0 ? BOARD_PLIC : strcmp(name, "aplic") == 0 ? BOARD_APLIC : BOARD_IMSIC;
}

static void configure(struct boot *b)
{
    const struct guise_vm *vm = b->vm;
    struct board_config *board = &b->config.board;
    board->memory = vm->memory_bytes;
    board->harts = vm->harts;
    board->extensions = vm->extensions;
    board->satp_mode = vm->satp_mode;
    board->engine = &vm->engine_parsed;
    board->transport = vm->virtio && strcmp(vm->virtio, "mmio") == 0 ? BOARD_MMIO : BOARD_PCI;
    board->interrupts = interrupts_of(vm);
}

/* ---- Counters ---- */

static uint64_t nanoseconds(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_usec * 1000;
}

static void print_stats(const struct boot *b, uint64_t wall)
{
    const struct machine_stats s = machine_stats(b->machine);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const struct {
        const char *text, *key;
        uint64_t value;
    } rows[] = {
        {"instructions", "instructions", s.instructions},
        {"firmware calls", "firmware_calls", s.calls},
        {"waits for interrupts", "wfi", s.sleeps},
        {"pages brought into windows", "window_pages", s.window_pages},
        {"accesses that no window served", "window_refused", s.refused},
        {"wall time, ns", "wall_ns", wall},
        {"user time, ns", "user_ns", nanoseconds(&usage.ru_utime)},
        {"system time, ns", "system_ns", nanoseconds(&usage.ru_stime)},
        {"memory of the monitor and the guest, KiB", "resident_kib", (uint64_t)usage.ru_maxrss},
    };
    bool json = strcmp(b->vm->stats, "json") == 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (json)
            fprintf(stderr, "%s\"%s\": %llu%s", i ? ", " : "{", rows[i].key,
                    (unsigned long long)rows[i].value, i + 1 == ARRAY_SIZE(rows) ? "}\n" : "");
        else
            fprintf(stderr, "guise: %-42s %20llu\r\n", rows[i].text, (unsigned long long)rows[i].value);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- Running ---- */

/* Runs from power-on to the end. *again: the guest, or the user, wants it to start anew. */
static int run_once(struct boot *b, bool *again, struct guise_error *err)
{
    enum machine_end end = MACHINE_RUNS;
    uint64_t start = now();
    *again = b->reset_by_user = false;
    int r = machine_new(&b->machine, &b->config, err);
    if (r)
        return r;
    if (b->vm->dump_dtb)
        r = loader_dump_tree(machine_board(b->machine), &b->config.files, b->vm->dump_dtb, err);
    else
        r = machine_run(b->machine, &end, err);
    if (r == 0 && b->vm->stats && !b->vm->dump_dtb)
        print_stats(b, now() - start);
    machine_free(b->machine);
    b->machine = NULL;
    switch (end) {
    case MACHINE_POWER_OFF: b->end = GUISE_END_POWER_OFF; break;
    case MACHINE_FAILURE: b->end = GUISE_END_FAILURE; break;
    case MACHINE_REBOOT:
        b->end = GUISE_END_REBOOT;
        *again = b->reset_by_user || !b->vm->reboot || strcmp(b->vm->reboot, "on") == 0;
        break;
    case MACHINE_BROKEN:
        r = error_set(err, GUISE_E_SYSTEM,
                      "the engine stopped: this is an error of Guise; please report what it said above");
        break;
    case MACHINE_RUNS:
    case MACHINE_STOPPED: break;
    }
    return r;
}

int guise_vm_boot(struct guise_vm *vm, enum guise_end *end, struct guise_error *err)
{
    struct boot b = {.vm = vm, .end = GUISE_END_POWER_OFF};
    bool again = true;
    if (vm->kind != GUISE_MACHINE)
        return error_set(err, GUISE_E_CONFIG, "this VM is no machine");
    pthread_sigmask(SIG_BLOCK, NULL, &b.before);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN},
              &b.pipe_before); /* of consoles that nobody reads */
    configure(&b);
    int r = boot_files(&b, err);
    if (r == 0)
        r = boot_backends(&b, err);
    while (r == 0 && again)
        r = run_once(&b, &again, err);
    boot_release(&b);
    sigaction(SIGPIPE, &b.pipe_before, NULL);
    pthread_sigmask(SIG_SETMASK, &b.before, NULL);
    *end = b.end;
    return r;
}
