/* libguise: the public library of the Guise virtual machine monitor.
 *
 * A VM is made, configured by key and value, run and waited for. The command line is this library's first client.
 *
 * Threads: different VMs may be used by different threads; one VM is used by one thread at a time.
 * Lifetime: guise_vm_new() returns an owned object; guise_vm_free() releases it (a running guest is not stopped).
 * Strings handed in are copied. Strings handed out belong to the object and live as long as it does. */
#ifndef GUISE_H
#define GUISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GUISE_VERSION "0.1.0"

/* Every error: name, code, exit status of the command line, what it means. */
#define GUISE_ERRORS(X)                                         \
    X(GUISE_E_USAGE, -1, 2, "wrong usage")                      \
    X(GUISE_E_NOMEM, -2, 125, "out of memory")                  \
    X(GUISE_E_SYSTEM, -3, 125, "the host refused an operation") \
    X(GUISE_E_IO, -4, 125, "input or output failed")            \
    X(GUISE_E_CONFIG, -5, 125, "bad configuration")             \
    X(GUISE_E_UNSUPPORTED, -6, 125, "not supported")            \
    X(GUISE_E_NETWORK, -7, 125, "the mirror could not be read") \
    X(GUISE_E_GUEST, -8, 125, "a guest program failed")         \
    X(GUISE_E_EXEC, -9, 126, "the program cannot be run")       \
    X(GUISE_E_NOTFOUND, -10, 127, "not found")

enum guise_error_code {
    GUISE_OK = 0,
#define GUISE_X(name, code, status, text) name = code,
    GUISE_ERRORS(GUISE_X)
#undef GUISE_X
};

/* What went wrong, for a person: what, where, and what to do next. Filled by every call that takes one. */
struct guise_error {
    int code;       /* GUISE_E..., 0 when nothing went wrong */
    char text[512]; /* one line, no full stop, no "guise: " in front */
};

const char *guise_error_name(int code); /* "GUISE_E_EXEC" */
const char *guise_error_text(int code); /* "the program cannot be run" */
int guise_error_status(int code);       /* exit status for a shell: 0, 2, 125, 126 or 127 */

/* ---- VMs ---- */

enum guise_kind {
    GUISE_PROCESS, /* a process VM: one riscv64 Linux program and its children */
    GUISE_MACHINE, /* a system VM: a riscv64 computer */
};

struct guise_vm;

/* Returns an owned VM, or NULL when memory is short. */
struct guise_vm *guise_vm_new(enum guise_kind kind);
void guise_vm_free(struct guise_vm *vm);

/* Sets one property. A property marked + may be set several times, each adds a value. For both kinds:
 *   engine     "jit" (the default), "interp" or "lockstep"
 *   cpu        extensions shown to the guest, e.g. "rv64gc", "max", "max,zacas=off"
 *   stats      "text" or "json": counters on standard error when the guest ends
 * For GUISE_PROCESS:
 *   program    path of the program, looked for as execvp() does (inside the root when there is one)
 *   arg +      an argument; the first is argv[0]; without any, argv[0] is `program`
 *   argv0      replaces argv[0]
 *   env +      NAME=VALUE sets, NAME removes a variable of the environment handed down from the caller
 *   cwd        working directory of the guest
 *   sysroot    directory in which the loader and libraries are looked for first
 *   root       directory that becomes the program's root (user namespace and chroot), or an image's name
 *   bind +     SRC[:DST] shows a host file or directory inside the root
 *   strace     "on" prints system calls to standard error
 *   monitor    path of the guise command, which serves execve() of the guest; default: the one found in PATH
 *   address-bits  size of the guest's address space, 39 (default) to 46
 * A VM with a root starts with the root's usual environment: PATH, HOME and LANG are set anew (`env` comes after that),
 * and the directories /proc, /sys and /dev of the host are shown where the root has such directories.
 * For GUISE_MACHINE:
 *   image      an image's name: its kernel and initial RAM disk, and a disk of its own that stays
 *   kernel     path of a kernel: an Image, or ELF
 *   initrd     path of an initial RAM disk
 *   append     the kernel's command line; with an image, added to the image's
 *   bios       path of firmware that runs in M-mode and starts the kernel; default: what is built in
 *   disk +     FILE[,ro]: a raw disk image; the first is the guest's first disk
 *   net        "none" (the default without an image), or "user" for a NAT; with ,hostfwd=tcp:[ADDRESS]:PORT-:PORT (or
 *              udp) a port of the host leads to one of the guest's
 *   cpus       harts, 1 (the default) to 64
 *   memory     e.g. "512M", "2G"; default: 1G
 *   serial     where the serial port is: "stdio" (the default), "file:FILE", "pty" or "none"
 *   console    where a virtio console is, likewise; default: there is none
 *   virtio     how virtio devices are attached: "pci" (the default) or "mmio"
 *   interrupts what interrupts harts: "plic", "aplic", or "imsic" for message-signalled interrupts; default: "imsic"
 *              with an image's own kernel, else "plic"
 *   mmu        the largest address space of the guest's processes: "sv39" (the default), "sv48" or "sv57"
 *   reboot     "off": a reboot by the guest ends the machine
 *   temporary  "on": what the guest writes to the image's disk is dropped at its end
 *   timeout    seconds after which the machine ends
 *   dump-dtb   path of a file that the device tree is written to; the machine then does not start
 *   engine     "jit" (the default) or "interp"
 * Returns 0, GUISE_E_CONFIG (unknown key, bad value) or GUISE_E_NOMEM. */
int guise_vm_set(struct guise_vm *vm, const char *key, const char *value, struct guise_error *err);

/* Turns the calling process into the guest and returns only when that fails (GUISE_E_NOTFOUND, GUISE_E_EXEC, ...);
 * afterwards the process ends as the guest ends. The caller should have one thread. */
int guise_vm_exec(struct guise_vm *vm, struct guise_error *err);

/* Starts the guest in a host process of its own; errors of the start are reported here. */
int guise_vm_start(struct guise_vm *vm, struct guise_error *err);

/* Waits for the end of a started guest. `status` is as from waitpid(2): exit status or signal. */
int guise_vm_wait(struct guise_vm *vm, int *status, struct guise_error *err);

/* Why a machine ended. */
enum guise_end {
    GUISE_END_POWER_OFF, /* the guest switched it off */
    GUISE_END_REBOOT,    /* the guest wanted to start anew, and `reboot` is off */
    GUISE_END_FAILURE,   /* the guest switched it off and reported that something is wrong */
    GUISE_END_TIMEOUT,
    GUISE_END_QUIT,   /* the user ended it by a key */
    GUISE_END_SIGNAL, /* SIGINT, SIGTERM, SIGHUP or SIGQUIT came */
};

/* Runs a machine, in this process, until it ends. The caller has one thread. While it runs those signals are caught,
 * and a terminal that is its console is in raw mode: Ctrl-] and a letter is for Guise (h lists them). */
int guise_vm_boot(struct guise_vm *vm, enum guise_end *end, struct guise_error *err);

/* Host process id of a started guest, 0 when it does not run. */
int guise_vm_pid(const struct guise_vm *vm);

/* The name of the index-th extension that `cpu` knows ("zba"), NULL after the last one. */
const char *guise_cpu_extension(unsigned index);

/* ---- Images: root directories kept by name under $GUISE_DATA or $XDG_DATA_HOME/guise ---- */

struct guise_image {
    char name[128];  /* "debian:trixie" */
    char *path;      /* its root directory */
    int64_t created; /* seconds since 1970 */
};

/* Stores an owned array, sorted by name; guise_images_free() releases it. */
int guise_image_list(struct guise_image **images, size_t *count, struct guise_error *err);
void guise_images_free(struct guise_image *images, size_t count);

/* How far a pull is. `total` is 0 when it is not known. Strings live as long as the call. */
struct guise_progress {
    const char *phase; /* "downloading packages" */
    const char *item;  /* "libc6" or "" */
    unsigned done, total;
};

struct guise_pull {
    const char *image;   /* "debian:SUITE" */
    const char *name;    /* of the image that is made; NULL: `image` */
    const char *mirror;  /* URL; NULL: Debian's mirror in the host's apt configuration */
    const char *include; /* more packages, separated by commas, or NULL */
    const char *monitor; /* as the property of a VM */
    bool force;          /* make it anew when it is there already */
    void (*progress)(void *context, const struct guise_progress *progress); /* or NULL */
    void *context;
};

/* Makes a riscv64 root directory. It appears complete or not at all; SIGINT, SIGTERM and SIGHUP are caught meanwhile.
 * Stores whether it was there already (and left alone) when `present` is not NULL. */
int guise_image_pull(const struct guise_pull *pull, bool *present, struct guise_error *err);

/* Makes what a machine boots of an image: kernel, initial RAM disk, disk; pulls the image first if it is not there.
 * Otherwise as guise_image_pull(). */
int guise_image_prepare(const struct guise_pull *pull, bool *present, struct guise_error *err);

/* With what a machine boots of it, and the machine's disk. */
int guise_image_remove(const char *name, struct guise_error *err);

/* ---- riscv64 programs as commands of the host: Linux's binfmt_misc ---- */

/* `monitor` is the path of the guise command. The kernel starts it by a second name beside it, guise-binfmt, because an
 * interpreter gets no options; installing makes that link when it is missing. */
int guise_binfmt_print(const char *monitor, FILE *out, struct guise_error *err);
int guise_binfmt_install(const char *monitor, FILE *report, struct guise_error *err);
int guise_binfmt_remove(FILE *report, struct guise_error *err);

/* ---- Disassembly ---- */

enum guise_disasm_format {
    GUISE_DISASM_TEXT, /* a listing */
    GUISE_DISASM_JSON, /* one JSON object a line */
};

/* Writes the executable sections (of name `section` when it is not NULL) of a riscv64 ELF file; without a section table,
 * its executable segments. */
int guise_disasm(const char *path, const char *section, enum guise_disasm_format format, FILE *out,
                 struct guise_error *err);

#ifdef __cplusplus
}
#endif
#endif
