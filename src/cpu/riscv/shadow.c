#include "cpu/riscv/shadow.h"

#include "base/util.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 1 << TLB_PAGE_BITS,
    FRAMES = 64,
    PAGES = 64,
    ACCESSES = 512,
    WIDEST = 64, /* bytes of an access */
    NOTHING = 0xa7,
};

struct frame {
    const uint8_t *page; /* of the host */
    uint8_t is[PAGE];
    uint8_t should[PAGE];
    bool known[PAGE];
};

/* A page of guest addresses, and which frame it shows. A frame is written to by way of those alone that say so. */
struct view {
    uint64_t gva;
    unsigned frame;
    bool written;
};

struct access {
    uint16_t frame, offset, step;
    uint8_t size;
    bool is_store;
    uint8_t before[WIDEST], after[WIDEST];
};

struct shadow {
    unsigned frame_count, view_count, access_count;
    unsigned applied; /* accesses that `should` of the frames has */
    struct view views[PAGES];
    struct access accesses[ACCESSES];
    struct tlb_entry table[TLB_ENTRIES];
    struct frame frames[FRAMES];
};

static const struct tlb_entry no_entry = {.read = TLB_NONE, .write = TLB_NONE};

struct shadow *shadow_new(void)
{
    struct shadow *s = calloc(1, sizeof(*s));
    for (unsigned i = 0; s && i < TLB_ENTRIES; i++)
        s->table[i] = no_entry;
    for (unsigned i = 0; s && i < FRAMES; i++) {
        memset(s->frames[i].is, NOTHING, PAGE);
        memset(s->frames[i].should, NOTHING, PAGE);
    }
    return s;
}

void shadow_free(struct shadow *s)
{
    free(s);
}

/* ---- Frames ---- */

static int find_frame(struct shadow *s, const uint8_t *page)
{
    for (unsigned i = 0; i < s->frame_count; i++)
        if (s->frames[i].page == page)
            return (int)i;
    if (s->frame_count == FRAMES)
        return -1;
    s->frames[s->frame_count].page = page;
    return (int)s->frame_count++;
}

static struct view *find_view(struct shadow *s, uint64_t gva)
{
    for (unsigned i = 0; i < s->view_count; i++)
        if (s->views[i].gva == (gva & TLB_PAGE_MASK))
            return &s->views[i];
    return NULL;
}

/* NULL: no place. */
static struct view *get_view(struct shadow *s, const uint8_t *page, uint64_t gva)
{
    struct view *v = find_view(s, gva);
    if (v)
        return s->frames[v->frame].page == page ? v : NULL;
    int frame = find_frame(s, page);
    if (frame < 0 || s->view_count == PAGES)
        return NULL;
    v = &s->views[s->view_count++];
    *v = (struct view){.gva = gva & TLB_PAGE_MASK, .frame = (unsigned)frame};
    return v;
}

static unsigned offset_of(uint64_t gva)
{
    return (unsigned)(gva & ~TLB_PAGE_MASK);
}

/* ---- The record ---- */

/* `should` becomes what it is after so many steps. */
static void seek(struct shadow *s, unsigned steps)
{
    for (; s->applied < s->access_count && s->accesses[s->applied].step < steps; s->applied++) {
        const struct access *a = &s->accesses[s->applied];
        if (a->is_store)
            memcpy(&s->frames[a->frame].should[a->offset], a->after, a->size);
    }
    while (s->applied > 0 && s->accesses[s->applied - 1].step >= steps) {
        const struct access *a = &s->accesses[--s->applied];
        if (a->is_store)
            memcpy(&s->frames[a->frame].should[a->offset], a->before, a->size);
    }
}

void shadow_record(struct shadow *s)
{
    seek(s, UINT_MAX);
}

static struct access *new_access(struct shadow *s, const uint8_t *page, uint64_t gva, unsigned size,
                                 unsigned step)
{
    struct view *v = get_view(s, page, gva);
    if (!v || s->access_count == ACCESSES || size > WIDEST)
        return NULL;
    struct access *a = &s->accesses[s->access_count++];
    *a = (struct access){.frame = (uint16_t)v->frame,
                         .offset = (uint16_t)offset_of(gva),
                         .step = (uint16_t)step,
                         .size = (uint8_t)size};
    s->applied = s->access_count;
    return a;
}

static void set_byte(struct frame *f, unsigned offset, uint8_t value)
{
    f->is[offset] = f->should[offset] = value;
    f->known[offset] = true;
}

bool shadow_load(struct shadow *s, const uint8_t *page, uint64_t gva, const void *bytes, unsigned size,
                 unsigned step)
{
    struct access *a = new_access(s, page, gva, size, step);
    struct frame *f = a ? &s->frames[a->frame] : NULL;
    for (unsigned i = 0; a && i < size; i++)
        if (!f->known[a->offset + i])
            set_byte(f, a->offset + i, ((const uint8_t *)bytes)[i]);
    return a && !memcmp(&f->should[a->offset], bytes, size);
}

bool shadow_store(struct shadow *s, const uint8_t *page, uint64_t gva, const void *bytes, unsigned size,
                  unsigned step)
{
    struct access *a = new_access(s, page, gva, size, step);
    if (!a)
        return false;
    struct frame *f = &s->frames[a->frame];
    a->is_store = true;
    memcpy(a->after, bytes, size);
    for (unsigned i = 0; i < size; i++)
        if (!f->known[a->offset + i])
            set_byte(f, a->offset + i, (uint8_t)~a->after[i]);
    memcpy(a->before, &f->should[a->offset], size);
    memcpy(&f->should[a->offset], a->after, size);
    find_view(s, gva)->written = true;
    return true;
}

bool shadow_touch(struct shadow *s, const uint8_t *page, uint64_t gva, unsigned size, unsigned step)
{
    struct access *a = new_access(s, page, gva, size, step);
    if (!a)
        return false;
    memset(&s->frames[a->frame].known[a->offset], true, size);
    find_view(s, gva)->written = true;
    return true;
}

/* ---- The translation's turn ---- */

/* Of two pages that have the same place in the table, the first gets it. */
static void fill_table(struct shadow *s)
{
    for (unsigned i = 0; i < s->view_count; i++) {
        const struct view *v = &s->views[i];
        struct tlb_entry *e = &s->table[tlb_index(v->gva)];
        if (e->read != TLB_NONE)
            continue;
        e->read = v->gva;
        e->write = v->written ? v->gva : TLB_NONE;
        e->addend = (uint64_t)s->frames[v->frame].is - v->gva;
    }
}

static void clear_table(struct shadow *s)
{
    for (unsigned i = 0; i < s->view_count; i++)
        s->table[tlb_index(s->views[i].gva)] = no_entry;
}

struct tlb_entry *shadow_table(struct shadow *s, unsigned steps, bool whole)
{
    seek(s, steps);
    clear_table(s);
    if (whole)
        fill_table(s);
    return s->table;
}

void shadow_skip(struct shadow *s, unsigned step)
{
    for (unsigned i = 0; i < s->access_count; i++) {
        const struct access *a = &s->accesses[i];
        if (a->is_store && a->step == step)
            memcpy(&s->frames[a->frame].is[a->offset], a->after, a->size);
    }
}

static struct frame *frame_of(struct shadow *s, uint64_t gva, bool to_write)
{
    const struct view *v = find_view(s, gva);
    return v && (v->written || !to_write) ? &s->frames[v->frame] : NULL;
}

uint8_t *shadow_page(struct shadow *s, uint64_t gva, bool to_write)
{
    struct frame *f = frame_of(s, gva, to_write);
    return f ? f->is : NULL;
}

uint8_t *shadow_find(struct shadow *s, uint64_t gva, unsigned size, bool to_write)
{
    struct frame *f = frame_of(s, gva, to_write);
    unsigned offset = offset_of(gva);
    if (!f || offset + size > PAGE || memchr(&f->known[offset], false, size))
        return NULL;
    return &f->is[offset];
}

static unsigned first_difference(const struct frame *f)
{
    unsigned i = 0;
    while (f->is[i] == f->should[i])
        i++;
    return i;
}

bool shadow_agrees(struct shadow *s, unsigned steps, uint64_t *gva)
{
    seek(s, steps);
    for (unsigned i = 0; i < s->view_count; i++) {
        const struct frame *f = &s->frames[s->views[i].frame];
        if (likely(!s->views[i].written || !memcmp(f->is, f->should, PAGE)))
            continue;
        *gva = s->views[i].gva + first_difference(f);
        return false;
    }
    return true;
}

void shadow_difference(struct shadow *s, uint64_t gva, uint8_t *is, uint8_t *should)
{
    const struct frame *f = &s->frames[find_view(s, gva)->frame];
    *is = f->is[offset_of(gva)];
    *should = f->should[offset_of(gva)];
}

void shadow_clear(struct shadow *s)
{
    for (unsigned i = 0; i < s->access_count; i++) {
        const struct access *a = &s->accesses[i];
        struct frame *f = &s->frames[a->frame];
        memset(&f->is[a->offset], NOTHING, a->size);
        memset(&f->should[a->offset], NOTHING, a->size);
        memset(&f->known[a->offset], false, a->size);
    }
    clear_table(s);
    s->frame_count = s->view_count = s->access_count = s->applied = 0;
}
