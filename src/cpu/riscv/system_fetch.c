/* From a gva to something to execute.
 *
 *   gva ──TLB──> gpa ──> unit (code.c)                 the hart's jump cache remembers it
 *    └─ no such page: an instruction across two pages, on one that PMP divides ──> the instruction alone
 *
 * An instruction alone is fetched each time, half by half, as the manual has it, and its cells are kept by its
 * address and word. */
#include "cpu/riscv/system_internal.h"

#include "base/util.h"
#include "cpu/riscv/predecode.h"
#include "cpu/riscv/unit_store.h"
#include "host/sanitize.h"

#include <stdlib.h>
#include <string.h>

enum { SINGLES = 64, HALF = 2 };

struct system_single {
    struct unit_chunk *chunk; /* owned */
    struct draft draft;
    struct {
        uint64_t gpa;
        uint32_t word;
        const union cell *cells; /* NULL: free */
    } known[SINGLES];
};

int system_fetch_init(struct system_hart *h)
{
    struct system_single *s = h->single = calloc(1, sizeof(*s));
    if (!s || !(s->chunk = unit_chunk_new()))
        return -1;
    s->draft.single = true;
    s->draft.place = DRAFT_CROSSING;
    s->draft.interp = interp_system_table();
    return 0;
}

void system_fetch_release(struct system_hart *h)
{
    if (h->single)
        free(h->single->chunk);
    free(h->single);
}

/* ---- Pages ---- */

static const uint8_t *memory_at(const struct system_hart *h, uint64_t gpa)
{
    const struct gmem_block *block = gmem_find(h->system->config.memory, gpa);
    return block ? block->host + (gpa - block->base) : NULL;
}

const struct tlb_code *system_fetch_page(struct system_hart *h, uint64_t gva)
{
    const struct tlb_code *known = tlb_find_code(&h->tlb, gva);
    if (likely(known))
        return known;
    struct mmu_page page;
    uint64_t cause = mmu_access(&h->sys, gva, HALF, MMU_FETCH, &page);
    system_fail(h, cause, gva);
    if (cause != MMU_OK || !(mmu_page_rights(&h->sys, &page, (enum priv)h->sys.mode) & MMU_X))
        return NULL;
    const uint8_t *at = memory_at(h, page.gpa & TLB_PAGE_MASK);
    if (!at)
        system_fail(h, CAUSE_FETCH_ACCESS, gva);
    return at ? tlb_fill_code(&h->tlb, gva, &page, at) : NULL;
}

/* ---- Instructions alone ---- */

/* Where the half of an instruction is, or NULL: h->trap. Nothing can be fetched from a device. */
static const uint8_t *fetch_half(struct system_hart *h, uint64_t gva, uint64_t *gpa)
{
    const struct tlb_code *known = system_fetch_page(h, gva);
    if (likely(known)) {
        *gpa = (known->page & TLB_PAGE_MASK) | (gva & ~TLB_PAGE_MASK);
        return (const uint8_t *)known->host + (gva & ~TLB_PAGE_MASK);
    }
    if (h->trap.cause != MMU_OK)
        return NULL;
    struct mmu_page page;
    uint64_t cause = mmu_access(&h->sys, gva, HALF, MMU_FETCH, &page);
    const uint8_t *at = cause == MMU_OK ? memory_at(h, page.gpa) : NULL;
    if (!at)
        system_fail(h, cause == MMU_OK ? CAUSE_FETCH_ACCESS : cause, gva);
    *gpa = page.gpa;
    return at;
}

HOST_GUEST_ACCESS static uint16_t read_half(const uint8_t *at)
{
    return *(const volatile uint16_t *)at;
}

static bool is_long(uint16_t low)
{
    return (low & 3) == 3;
}

/* The instruction's word and where its first half is; false: h->trap. */
static bool fetch_word(struct system_hart *h, uint64_t gva, uint64_t *gpa, uint32_t *word)
{
    uint64_t second;
    const uint8_t *at = fetch_half(h, gva, gpa);
    if (!at)
        return false;
    *word = read_half(at);
    if (!is_long((uint16_t)*word))
        return true;
    at = fetch_half(h, gva + HALF, &second);
    if (at)
        *word |= (uint32_t)read_half(at) << 16;
    return at;
}

static const union cell *make_single(struct system_hart *h, uint64_t gpa, uint32_t word)
{
    struct system_single *s = h->single;
    struct draft *d = &s->draft;
    uint8_t bytes[sizeof(word)];
    memcpy(bytes, &word, sizeof(word));
    predecode(d, bytes, sizeof(bytes), gpa, h->system->config.extensions);
    size_t size = ALIGN_UP(draft_unit_bytes(d, true), sizeof(union cell));
    if (!unit_chunk_has_room(s->chunk, size)) {
        memset(s->known, 0, sizeof(s->known));
        unit_chunk_clear(s->chunk);
    }
    struct unit *u = unit_chunk_take(s->chunk, size);
    draft_fill_unit(d, u, bytes);
    unit_chunk_publish(s->chunk);
    return u->cells;
}

static const union cell *find_single(struct system_hart *h, uint64_t gva, uint32_t *word)
{
    struct system_single *s = h->single;
    uint64_t gpa;
    if (!fetch_word(h, gva, &gpa, word))
        return NULL;
    h->hart.bias = gva - gpa;
    size_t slot = (gpa >> 12 ^ gpa >> 1) % SINGLES;
    if (s->known[slot].cells && s->known[slot].gpa == gpa && s->known[slot].word == *word)
        return s->known[slot].cells;
    const union cell *cells = make_single(h, gpa, *word);
    s->known[slot].gpa = gpa;
    s->known[slot].word = *word;
    s->known[slot].cells = cells;
    return cells;
}

const union cell *system_step(struct system_hart *h, struct rv_insn *insn)
{
    uint32_t word;
    const union cell *cells = find_single(h, h->hart.pc, &word);
    if (cells && insn)
        rv_decode(word, insn);
    return cells;
}

/* ---- Units ---- */

/* Does the instruction go on in the next page? */
static bool is_across(const struct tlb_code *page, uint64_t gva)
{
    uint64_t offset = gva & ~TLB_PAGE_MASK;
    return offset == SYSTEM_PAGE - HALF && is_long(read_half((const uint8_t *)page->host + offset));
}

const union cell *system_find(struct system_hart *h, uint64_t gva)
{
    uint32_t word;
    const struct tlb_code *page = system_fetch_page(h, gva);
    if (!page)
        return h->trap.cause == MMU_OK ? find_single(h, gva, &word) : NULL;
    uint64_t gpa = (page->page & TLB_PAGE_MASK) | (gva & ~TLB_PAGE_MASK);
    const union cell *cell = is_across(page, gva) ? NULL : code_find(h->hart.code, gpa);
    if (unlikely(!cell)) /* or there was no memory for a unit */
        return find_single(h, gva, &word);
    h->hart.bias = gva - gpa;
    *system_jump_slot(h, gva) = (struct system_jump){gva, h->hart.context, cell, gva - gpa};
    return cell;
}
