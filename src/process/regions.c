#include "process/regions.h"

#include "base/util.h"

#include <stdlib.h>
#include <string.h>

struct region_node {
    struct mm_region region;
    struct region_node *left, *right;
    uint64_t first, last; /* the subtree's extent, guard gap included */
    uint64_t hole;        /* the largest hole between two regions of the subtree */
    uint32_t priority;
};

/* Where the room for others ends below a region. */
static uint64_t room_end(const struct mm_region *region)
{
    if (!region->growsdown)
        return region->start;
    return region->start > MM_GUARD ? region->start - MM_GUARD : 0;
}

static uint64_t hole_between(uint64_t low, uint64_t high)
{
    return high > low ? high - low : 0;
}

/* What a node says of its subtree follows from its children alone. */
static struct region_node *summarize(struct region_node *n)
{
    n->first = room_end(&n->region);
    n->last = n->region.end;
    n->hole = 0;
    if (n->left) {
        n->hole = MAX(n->left->hole, hole_between(n->left->last, n->first));
        n->first = n->left->first;
    }
    if (n->right) {
        n->hole = MAX(n->hole, MAX(n->right->hole, hole_between(n->last, n->right->first)));
        n->last = n->right->last;
    }
    return n;
}

/* Parts the tree into regions that start below `address` and the others. */
static void split(struct region_node *n, uint64_t address, struct region_node **below,
                  struct region_node **above)
{
    if (!n) {
        *below = *above = NULL;
    } else if (n->region.start < address) {
        split(n->right, address, &n->right, above);
        *below = summarize(n);
    } else {
        split(n->left, address, below, &n->left);
        *above = summarize(n);
    }
}

static struct region_node *join(struct region_node *below, struct region_node *above)
{
    if (!below || !above)
        return below ? below : above;
    if (below->priority > above->priority) {
        below->right = join(below->right, above);
        return summarize(below);
    }
    above->left = join(below, above->left);
    return summarize(above);
}

static void recycle(struct regions *set, struct region_node *n)
{
    if (!n)
        return;
    recycle(set, n->left);
    recycle(set, n->right);
    n->right = set->spare;
    set->spare = n;
    set->spare_count++;
    set->count--;
}

bool regions_reserve(struct regions *set, size_t count)
{
    while (set->spare_count < count) {
        struct region_node *n = malloc(sizeof(*n));
        if (!n)
            return false;
        n->right = set->spare;
        set->spare = n;
        set->spare_count++;
    }
    return true;
}

void regions_release(struct regions *set)
{
    recycle(set, set->root);
    while (set->spare) {
        struct region_node *n = set->spare;
        set->spare = n->right;
        free(n);
    }
    *set = (struct regions){0};
}

static uint32_t next_priority(struct regions *set)
{
    set->random = set->random * 1664525u + 1013904223u;
    return set->random ^ set->random >> 16;
}

static void add_node(struct regions *set, const struct mm_region *region)
{
    struct region_node *n = set->spare, *below, *above;
    set->spare = n->right;
    set->spare_count--;
    set->count++;
    *n = (struct region_node){.region = *region, .priority = next_priority(set)};
    split(set->root, region->start, &below, &above);
    set->root = join(join(below, summarize(n)), above);
}

/* The region that holds `address` now ends there; returns its old end, 0 when there is none. */
static uint64_t truncate_at(struct region_node *n, uint64_t address)
{
    if (!n)
        return 0;
    uint64_t end = 0;
    if (address <= n->region.start) {
        end = truncate_at(n->left, address);
    } else if (address >= n->region.end) {
        end = truncate_at(n->right, address);
    } else {
        end = n->region.end;
        n->region.end = address;
    }
    summarize(n);
    return end;
}

/* Makes `address` a boundary: a region that holds it in its middle becomes two. */
static void cut(struct regions *set, uint64_t address)
{
    const struct mm_region *found = regions_find(set, address);
    if (!found || found->start >= address)
        return;
    struct mm_region rest = *found;
    rest.end = truncate_at(set->root, address);
    rest.start = address;
    add_node(set, &rest);
}

const struct mm_region *regions_find(const struct regions *set, uint64_t address)
{
    const struct mm_region *best = NULL;
    for (const struct region_node *n = set->root; n;) {
        if (n->region.end > address) {
            best = &n->region;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

void regions_remove(struct regions *set, uint64_t start, uint64_t end)
{
    struct region_node *below, *inside, *above;
    cut(set, start);
    cut(set, end);
    split(set->root, start, &below, &inside);
    split(inside, end, &inside, &above);
    recycle(set, inside);
    set->root = join(below, above);
}

static bool mergeable(const struct mm_region *a, const struct mm_region *b)
{
    return a->prot == b->prot && a->shared == b->shared && a->growsdown == b->growsdown &&
           a->file == b->file && a->name == b->name && a->attached == b->attached;
}

void regions_insert(struct regions *set, const struct mm_region *region)
{
    struct mm_region whole = *region;
    const struct mm_region *before = region->start ? regions_find(set, region->start - 1) : NULL;
    const struct mm_region *after = regions_find(set, region->end);
    if (before && before->end == region->start && mergeable(before, region))
        whole.start = before->start;
    if (after && after->start == region->end && mergeable(region, after))
        whole.end = after->end;
    if (whole.start != region->start || whole.end != region->end)
        regions_remove(set, whole.start, whole.end);
    add_node(set, &whole);
}

bool regions_free(const struct regions *set, uint64_t start, uint64_t end)
{
    const struct mm_region *next = regions_find(set, start);
    return !next || room_end(next) >= end;
}

/* `low` and `high` bound the room around the subtree. */
static uint64_t gap_in(const struct region_node *n, uint64_t low, uint64_t high, uint64_t length)
{
    if (hole_between(low, high) < length)
        return 0;
    if (!n)
        return high - length;
    if (n->hole < length && hole_between(low, n->first) < length && hole_between(n->last, high) < length)
        return 0;
    uint64_t found = gap_in(n->right, MAX(low, n->region.end), high, length);
    return found ? found : gap_in(n->left, low, MIN(high, room_end(&n->region)), length);
}

uint64_t regions_gap(const struct regions *set, uint64_t low, uint64_t high, uint64_t length)
{
    return gap_in(set->root, low, high, length);
}
