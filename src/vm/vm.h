/* The VM as an object: what guise_vm_set() was told, as run.c needs it.
 * Threads: one at a time. Lifetime: guise_vm_new() ... guise_vm_free(); strings are owned. */
#ifndef VM_VM_H
#define VM_VM_H

#include "cpu/riscv/engine.h"
#include "vm/list.h"

#include <guise.h>
#include <stdint.h>

struct guise_vm {
    enum guise_kind kind;
    char *program, *argv0, *execfn, *cwd, *sysroot, *root, *monitor;
    char *engine, *engine_options, *dump, *cpu, *strace, *stats, *address_bits, *fake_ids, *ids, *monitor_fd,
        *report_fd; /* valid text, as given */
    struct list args, env, binds;
    uint64_t extensions;
    struct engine_options engine_parsed;
    unsigned bits;
    bool hold_mounts; /* root_hold_mounts() after the root was entered */
    int pid;          /* of a started guest, 0: none */

    /* GUISE_MACHINE */
    char *image, *kernel, *initrd, *append, *bios, *memory, *cpus, *net, *serial, *console, *virtio,
        *interrupts, *reboot, *mmu, *temporary, *timeout, *dump_dtb;
    struct list disks;
    uint64_t memory_bytes;
    uint8_t satp_mode;               /* 0: default */
    unsigned harts, timeout_seconds; /* 0: no time-out */
};

#endif
