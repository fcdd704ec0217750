/* /proc/self/maps for the guest: what the host says of the guest's mappings (files, offsets, inodes, names, sizes), with
 * guest addresses and the guest's rights, and under the guest's names. Where the host sees one mapping and the guest
 * has several (the host knows no PROT_EXEC), the host's line is printed once for each. */
#include "process/mm_internal.h"

#include "base/util.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMN 73 /* of a 64-bit kernel's lines */

/* One mapping as the host's /proc tells it. */
struct host_map {
    uint64_t start, end; /* guest addresses */
    uint64_t offset, inode;
    unsigned major, minor;
    char shared;      /* 's' or 'p' */
    const char *name; /* borrows from the line; "" without */
};

static bool parse_map(const struct mm *mm, char *line, struct host_map *map)
{
    char perms[5];
    int used = 0;
    uint64_t start, end;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &start, &end, perms,
               &map->offset, &map->major, &map->minor, &map->inode, &used) < 7)
        return false;
    line[strcspn(line, "\n")] = 0;
    map->start = start - mm->base;
    map->end = end - mm->base;
    map->shared = perms[3];
    map->name = line + used;
    return true;
}

static void print_piece(struct buf *out, const struct host_map *map, const struct mm_region *r,
                        uint64_t start, uint64_t end)
{
    size_t line = out->length;
    uint64_t offset = map->inode ? map->offset + (start - map->start) : 0;
    const char *name = r->name ? r->name : map->name;
    buf_printf(out, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %02x:%02x %" PRIu64 " ", start, end,
               r->prot & PROT_READ ? 'r' : '-', r->prot & PROT_WRITE ? 'w' : '-',
               r->prot & PROT_EXEC ? 'x' : '-', map->shared, offset, map->major, map->minor, map->inode);
    if (*name) {
        int pad = NAME_COLUMN - (int)(out->length - line);
        buf_printf(out, "%*s%s", MAX(pad, 0), "", name);
    }
    buf_printf(out, "\n");
}

/* ---- The lines that follow a mapping in smaps ---- */

/* The host's figures go to the first of the guest's pieces, the others have none: sums stay right. */
static void print_detail(struct buf *out, const char *line, uint64_t size, bool first)
{
    size_t colon = strcspn(line, ":");
    if (!strncmp(line, "Size:", 5)) {
        buf_printf(out, "Size:           %8" PRIu64 " kB\n", size >> 10);
    } else if (first || !strstr(line + colon, " kB") || strstr(line, "PageSize")) {
        buf_add(out, line, strlen(line));
    } else {
        buf_printf(out, "%.*s:%*d kB\n", (int)colon, line, MAX(24 - (int)colon - 1, 2), 0);
    }
}

/* ---- Printing ---- */

static void print_pieces(struct mm *mm, struct buf *out, const struct host_map *map,
                         const struct buf *details)
{
    const struct mm_region *r;
    bool first = true;
    for (uint64_t at = map->start;
         at < map->end && (r = regions_find(&mm->regions, at)) && r->start < map->end;) {
        uint64_t start = MAX(r->start, at), end = MIN(r->end, map->end);
        print_piece(out, map, r, start, end);
        for (size_t i = 0; i < details->length; i += strlen(details->data + i) + 1)
            print_detail(out, details->data + i, end - start, first);
        first = false;
        at = end;
    }
}

/* Are both parts of one mapping of the guest's that the host has in pieces, because some pages are protected (mm_guard.c)? */
static bool belong_together(const struct mm *mm, const struct host_map *a, const struct host_map *b)
{
    const struct mm_region *r = regions_find(&mm->regions, a->start);
    return a->end == b->start && !a->inode && !b->inode && r && r->start <= a->start && b->end <= r->end;
}

/* maps and smaps: a line for each mapping, in smaps followed by lines of details. */
static void print_all(struct mm *mm, FILE *file, struct buf *out)
{
    struct host_map map = {0}, next;
    struct buf details = {0};
    char *line = NULL, *map_line = NULL;
    size_t size = 0;
    bool have = false;
    while (getline(&line, &size, file) > 0) {
        if (!parse_map(mm, line, &next)) {
            buf_add(&details, line, strlen(line) + 1);
            continue;
        }
        if (have && !details.length && belong_together(mm, &map, &next)) {
            map.end = next.end;
            continue;
        }
        if (have)
            print_pieces(mm, out, &map, &details);
        details.length = 0;
        free(map_line);
        map_line = line;
        map = next;
        have = next.start < mm->limit;
        line = NULL;
    }
    if (have)
        print_pieces(mm, out, &map, &details);
    free(line);
    free(map_line);
    out->failed |= details.failed;
    buf_release(&details);
}

/* numa_maps: "ADDRESS rest". */
static void print_numa(struct mm *mm, FILE *file, struct buf *out)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        char *rest;
        uint64_t at = strtoull(line, &rest, 16) - mm->base;
        const struct mm_region *r = at < mm->limit ? regions_find(&mm->regions, at) : NULL;
        if (r && r->start <= at)
            buf_printf(out, "%08" PRIx64 "%s", at, rest);
    }
    free(line);
}

/* Without the host's /proc: what the guest's own list knows. */
static void print_regions(struct mm *mm, struct buf *out)
{
    struct host_map map = {.name = ""};
    for (const struct mm_region *r = regions_find(&mm->regions, 0); r;
         r = regions_find(&mm->regions, r->end)) {
        map.shared = r->shared ? 's' : 'p';
        print_piece(out, &map, r, r->start, r->end);
    }
}

void mm_print_maps(struct mm *mm, const char *file, struct buf *out)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/%s", file);
    if (strcmp(file, "maps") != 0) /* figures of pieces cannot be put together */
        mm_lock_change(mm, 0, mm->limit);
    else
        pthread_mutex_lock(&mm->lock);
    FILE *host = fopen(path, "re");
    if (host && !strcmp(file, "numa_maps"))
        print_numa(mm, host, out);
    else if (host)
        print_all(mm, host, out);
    else
        print_regions(mm, out);
    if (host)
        fclose(host);
    pthread_mutex_unlock(&mm->lock);
}
