/* Guest physical memory: RAM and ROM blocks, each a memfd of its own, so that it can be shared with a helper process
 * and copied on write.
 *
 * A device reaches memory through gmem_slice() and the copies below alone; they check bounds and mark what they write.
 * A block never moves and lives as long as the gmem, so a slice may be kept.
 *
 * Dirty pages: each page has one byte, each watcher one bit of it. The rule that loses no write: mark after the write.
 * gmem_slice() marks at once, which is enough for a device that writes and returns under its lock, when who takes the
 * bits stops devices first; one that writes later or through a slice that it keeps calls gmem_mark() when it has
 * written. Translated code may mark for itself, by storing 0xff.
 *
 * Threads: any, after the last gmem_add(). Guest memory has no lock: guest and devices race in it as in a real
 * computer.
 * Lifetime: gmem_init() ... gmem_release(), after everything that keeps slices is gone. */
#ifndef BUS_GMEM_H
#define BUS_GMEM_H

#include <guise.h>
#include <stdbool.h>
#include <stdint.h>

#define GMEM_PAGE       ((uint64_t)4096)
#define GMEM_MAX_BLOCKS 16

enum gmem_kind {
    GMEM_RAM,
    GMEM_ROM, /* filled by gmem_load(); no one else can write */
};

enum gmem_use {
    GMEM_READ,
    GMEM_WRITE, /* and read */
};

enum gmem_watcher {
    GMEM_WATCH_SAVE = 1,    /* snapshots and migration */
    GMEM_WATCH_CODE = 2,    /* code made from guest memory */
    GMEM_WATCH_DISPLAY = 4, /* frame buffers */
};

struct gmem_block {
    uint64_t base, length;   /* gpa and bytes, multiples of GMEM_PAGE */
    uint8_t *host;           /* hva of `base` */
    _Atomic uint8_t *dirty;  /* a byte a page */
    _Atomic uint64_t *marks; /* grows after each time that pages were marked by the functions below */
    int fd;                  /* the memfd; owned */
    enum gmem_kind kind;
};

struct gmem {
    struct gmem_block blocks[GMEM_MAX_BLOCKS]; /* sorted by base */
    unsigned count;
};

void gmem_init(struct gmem *m);
void gmem_release(struct gmem *m);

/* Adds a block of zeroes. GUISE_E_CONFIG when it is not of whole pages or meets another block. */
int gmem_add(struct gmem *m, enum gmem_kind kind, uint64_t base, uint64_t length, struct guise_error *err);

/* The block that holds an address, or NULL. */
const struct gmem_block *gmem_find(const struct gmem *m, uint64_t gpa);

/* The host address of [gpa, gpa + length), or NULL when that is not within one block or may not be used so. An empty
 * slice lies where its address does. */
void *gmem_slice(const struct gmem *m, uint64_t gpa, uint64_t length, enum gmem_use use);

/* [gpa, gpa + length) was written through a slice. */
void gmem_mark(const struct gmem *m, uint64_t gpa, uint64_t length);

/* Copies out of and into one block; false, and nothing copied, when the guest's address is bad. */
bool gmem_read(const struct gmem *m, uint64_t gpa, void *to, uint64_t length);
bool gmem_write(const struct gmem *m, uint64_t gpa, const void *from, uint64_t length);

/* As gmem_write(), into ROM too: for who loads firmware, kernels and device trees. */
bool gmem_load(const struct gmem *m, uint64_t gpa, const void *from, uint64_t length);

/* Moves a watcher's dirty bits out of a block: sets bit i % 64 of bits[i / 64] for each page i that was dirty, leaves
 * the other bits as they are, and returns how many pages were dirty. `bits` has a bit for each page of the block. */
uint64_t gmem_take_dirty(const struct gmem_block *b, enum gmem_watcher watcher, uint64_t *bits);

#endif
