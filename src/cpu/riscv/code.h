/* Predecoded code of one address space: units of cells, found by guest pc and shared by all its harts.
 *
 * Threads: look-ups are lock-free; building and killing take the lock inside. A dead unit stays in memory, because harts
 * may be inside it or hold links to it: its cells send them to look up again. When the memory for units is used up, all
 * units are dropped at once, and freed when no hart is left that entered its units before that.
 * Lifetime: code_new() ... code_free(); owned by the address space's owner, outlives its harts. */
#ifndef CPU_RISCV_CODE_H
#define CPU_RISCV_CODE_H

#include <guise.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code;
struct engine_options;

/* What predecoding needs to know of the address space. */
struct code_ops {
    /* If guest memory at `address` may be executed: stores the end (exclusive) of the executable range that holds it and
     * whether its bytes may change without a code_invalidate(): the guest can write there, or elsewhere to the same
     * memory. Returns true then. */
    bool (*executable)(void *context, uint64_t address, uint64_t *end, bool *changeable);
    /* Optional: hva of what is executable at `address`, up to the end that executable() tells; without it, mem_base +
     * address. With it the code is a computer's, `paged` (unit.h): addresses are gpas. */
    const void *(*host)(void *context, uint64_t address);
    /* Optional, both: makes stores to the page of 4096 bytes fault, and not fault any more. The owner gives every
     * such fault to code_write_fault(). protect() is false when not every store would fault. unprotect() stores the
     * range of pages that it was done for, this one and perhaps some around it, and tells whether the guest may
     * write to the page, protected or not. */
    bool (*protect)(void *context, uint64_t page);
    bool (*unprotect)(void *context, uint64_t page, uint64_t *start, uint64_t *end);
    /* Optional: was a protected page written to in a way that does not fault? Each write is told once. */
    bool (*written)(void *context, uint64_t page);
    /* Optional: protect() refuses for a while only, and this tells, one after the other, the pages with which it is over;
     * UINT64_MAX when there is no other. */
    uint64_t (*settled)(void *context);
    /* Units are dropped when they take more than this; 0 for the default. Tests make it small. */
    size_t max_bytes;
};

/* `extensions` is a bit set of enum rv_ext; a row of another extension is an illegal instruction. */
int code_new(struct code **out, const struct code_ops *ops, void *context, uint64_t mem_base,
             uint64_t extensions, struct guise_error *err);
void code_free(struct code *code);

/* Before the first hart: which engine runs them; without this call, the interpreter. Borrows the options. */
int code_set_engine(struct code *code, const struct engine_options *options, struct guise_error *err);

/* Forgets what was decoded from [start, end): after munmap, a new mapping, or mprotect. Every hart sees the change
 * at its next instruction. */
void code_invalidate(struct code *code, uint64_t start, uint64_t end);

/* A FENCE.I: forgets units whose guest bytes have changed (those that can). */
void code_fence(struct code *code);

/* The same for a flush that names the range that was written, which may be empty. In the range every unit is
 * forgotten whose bytes cannot change by themselves: they did by way of another mapping. */
void code_flush(struct code *code, uint64_t start, uint64_t end);

/* In the owner's signal handler: a store to a guest address has faulted. True: because of ops->protect(); it is to
 * be done again. Neither the code's lock nor one that its ops take may be held where guest memory is written. */
bool code_write_fault(struct code *code, uint64_t address);

/* Before the owner changes the mapping of the pages, or lets the host's kernel write there: none is protected any
 * more. */
void code_unprotect(struct code *code, uint64_t start, uint64_t end);

/* Between these the engine has no thread of its own in this process, for the host's kernel neither. Not by a process
 * that shares the memory of another one (vfork). */
void code_pause_thread(struct code *code);
void code_resume_thread(struct code *code);

/* Before fork() and after it in the child and the parent: no lock may be left held by a thread that is gone, and in the
 * child no hart is inside its units. */
void code_fork_prepare(struct code *code);
void code_fork_done(struct code *code, bool child);

struct code_stats {
    uint64_t units, cells, flushes, killed;
    uint64_t watched, write_faults; /* pages protected now; stores that faulted for it */
};
struct code_stats code_stats(struct code *code);

#endif
