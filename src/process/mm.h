/* The address space of a process VM: what the guest has mapped, where, and with which rights.
 *
 * Guest address `gva` lives at host address base + gva. The base is 0 wherever the host's low addresses are free (always,
 * save under AddressSanitizer and the like), so that translated code and the host's kernel use guest addresses as they
 * are: the monitor itself lives above the guest's limit, and the whole guest range is reserved at start, so no mapping of
 * one can land on the other. Guest PROT_EXEC is kept here only: guest pages are never executable for the host.
 *
 * Threads: every function takes the lock inside. Lifetime: mm_new() ... mm_free(); vfork children use their parent's.
 * Source: mmap(2), mremap(2), brk(2); Linux riscv address space layout. */
#ifndef PROCESS_MM_H
#define PROCESS_MM_H

#include "base/buf.h"

#include <guise.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MM_PAGE ((uint64_t)4096)

struct code;

struct mm_region {
    uint64_t start, end; /* page aligned */
    int prot;            /* PROT_READ, PROT_WRITE, PROT_EXEC of the guest */
    bool shared;
    bool growsdown;
    bool file;         /* maps a file */
    const char *name;  /* "[stack]", "[heap]", "[vdso]", interned in the mm; NULL: see mm_print_maps() */
    uint64_t attached; /* the address that shmat() returned when this belongs to a System V segment, or 0 */
};

/* Where things go in an address space, chosen anew for each program (Linux's address space layout randomization). */
struct mm_layout {
    uint64_t low, high;  /* mappings without an address are placed within, as high as possible */
    uint64_t stack_top;  /* the main stack ends here */
    uint64_t stack_size; /* bytes to map for it */
    uint64_t program;    /* a position-independent program that has a loader */
    uint64_t brk_slack;  /* between a program's data and its heap */
    bool randomized;
};

struct mm;

/* An empty address space of 2^bits bytes (39..46; the user half of the corresponding Sv mode: 39 gives 2^38). */
int mm_new(struct mm **out, unsigned bits, struct guise_error *err);
void mm_free(struct mm *mm);

uint64_t mm_base(const struct mm *mm);  /* hva of gva 0 */
uint64_t mm_limit(const struct mm *mm); /* first gva that is not the guest's; bytes */

const struct mm_layout *mm_layout(const struct mm *mm);

/* The code made from this address space is told of every change of executable memory. Borrows. */
void mm_set_code(struct mm *mm, struct code *code);

/* System calls: a guest address or length in, a guest address or 0 out, or -errno. `fd` is a host descriptor. */
int64_t mm_mmap(struct mm *mm, uint64_t address, uint64_t length, int prot, int flags, int fd,
                uint64_t offset);
int64_t mm_munmap(struct mm *mm, uint64_t address, uint64_t length);
int64_t mm_mprotect(struct mm *mm, uint64_t address, uint64_t length, int prot);
int64_t mm_mremap(struct mm *mm, uint64_t old, uint64_t old_length, uint64_t new_length, int flags,
                  uint64_t new_address);
int64_t mm_brk(struct mm *mm, uint64_t address);
int64_t mm_madvise(struct mm *mm, uint64_t address, uint64_t length, int advice);
int64_t mm_mincore(struct mm *mm, uint64_t address, uint64_t length, uint64_t vector);
int64_t mm_msync(struct mm *mm, uint64_t address, uint64_t length, int flags);
int64_t mm_mlock(struct mm *mm, uint64_t address, uint64_t length, int flags);
int64_t mm_munlock(struct mm *mm, uint64_t address, uint64_t length);
int64_t mm_mlockall(struct mm *mm, int flags);
int64_t mm_munlockall(struct mm *mm);
int64_t mm_shmat(struct mm *mm, int id, uint64_t address, int flags);
int64_t mm_shmdt(struct mm *mm, uint64_t address);

/* Names the mapping(s) in a range for /proc/self/maps: "[stack]" and so on. */
void mm_name(struct mm *mm, uint64_t start, uint64_t end, const char *name);
void mm_set_brk(struct mm *mm, uint64_t start);

/* Room for `length` bytes at a multiple of `align` (a power of two): `hint` if it is free there, else where mm_mmap()
 * would put it. Returns 0 when there is none. Nothing is mapped. */
uint64_t mm_place(struct mm *mm, uint64_t hint, uint64_t length, uint64_t align);

/* For a fault at an unmapped address: when it lies below a mapping that grows down and RLIMIT_STACK allows, grows that
 * mapping and returns true: the access may be tried again. */
bool mm_grow(struct mm *mm, uint64_t address);

/* The guest is about to limit RLIMIT_AS or RLIMIT_DATA: every growth is compared with them from now on. */
void mm_watch_limits(struct mm *mm);

/* Gives the reserved but unused addresses back to the host, because the guest is about to limit RLIMIT_AS, which counts
 * them. False where that cannot be, because the guest's addresses are not the host's: the host must not get the limit. */
bool mm_unreserve(struct mm *mm);

/* The region that holds `address`, or the first above it. False when there is none. */
bool mm_find(struct mm *mm, uint64_t address, struct mm_region *region);

/* True if all of [address, address + length) is mapped with at least `prot`. */
bool mm_check(struct mm *mm, uint64_t address, uint64_t length, int prot);

/* struct code_ops */
bool mm_executable(void *mm, uint64_t address, uint64_t *end, bool *changeable);
bool mm_protect(void *mm, uint64_t page);
bool mm_unprotect(void *mm, uint64_t page, uint64_t *start, uint64_t *end);

/* Bounds of all memory that the guest could both write and execute so far; only grows. Empty: low is above high. Any
 * thread. */
struct mm_span {
    _Atomic uint64_t low, high;
};
const struct mm_span *mm_wx_span(const struct mm *mm);

/* The guest is about to write to its memory in a way that no protection stops: no page is protected from now on. */
void mm_guard_none(struct mm *mm);

/* The host's kernel is about to write to the range, which touches that span: none of its pages is protected from now
 * on. */
void mm_give(struct mm *mm, uint64_t address, uint64_t length);

/* Copies between the monitor and the guest for code that serves no thread: program loading and /proc. 0 or -EFAULT. */
int mm_read(const struct mm *mm, void *to, uint64_t address, uint64_t size);
int mm_write(const struct mm *mm, uint64_t address, const void *from, uint64_t size);

/* Bytes of all mappings. */
uint64_t mm_size(struct mm *mm);

/* The text of /proc/self/FILE ("maps", "smaps" or "numa_maps") as the guest must see it. */
void mm_print_maps(struct mm *mm, const char *file, struct buf *out);

/* Around fork(): no lock stays held by a thread that is gone. */
void mm_fork_prepare(struct mm *mm);
void mm_fork_done(struct mm *mm);

#endif
