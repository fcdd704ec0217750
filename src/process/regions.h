/* The mappings of an address space in order of address: a treap whose subtrees know their largest hole, so that finding
 * a mapping, changing one and finding room for a new one take logarithmic time, with 60,000 mappings too.
 *
 * Regions never overlap; neighbours with equal attributes are one region. A region that grows down keeps MM_GUARD bytes
 * below it out of every hole.
 * Threads: none; the owner locks. Lifetime: {0} is empty; regions_release() frees. */
#ifndef PROCESS_REGIONS_H
#define PROCESS_REGIONS_H

#include "process/mm.h"

#include <stddef.h>

/* Between a stack that grows and what is below it: Linux's stack_guard_gap. */
#define MM_GUARD ((uint64_t)256 * MM_PAGE)

struct region_node;

struct regions {
    struct region_node *root;
    struct region_node *spare; /* list by ->right */
    size_t count, spare_count;
    uint32_t random;
};

void regions_release(struct regions *set);

/* Makes sure that the next `count` new regions need no memory. A removal or insertion needs at most two. */
bool regions_reserve(struct regions *set, size_t count);

/* The region that holds `address`, or the first above it; NULL: none. Valid until the next change. */
const struct mm_region *regions_find(const struct regions *set, uint64_t address);

/* Adds a region; its range must be free. */
void regions_insert(struct regions *set, const struct mm_region *region);

/* Removes whatever is in the range, cutting regions at its ends. */
void regions_remove(struct regions *set, uint64_t start, uint64_t end);

/* True if a new mapping may take the whole range: nothing is there, and no guard gap. */
bool regions_free(const struct regions *set, uint64_t start, uint64_t end);

/* The highest `length` free bytes within [low, high); 0: none. */
uint64_t regions_gap(const struct regions *set, uint64_t low, uint64_t high, uint64_t length);

#endif
