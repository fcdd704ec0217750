/* Pages that are write-protected for the host because code was made from them, though the guest may write there
 * (struct code_ops). The code decides which; here it is done, and undone before anything else happens to them:
 *
 *   a store of the guest, or of the monitor on its behalf   faults; signal.c tells the code, which exposes the page
 *   a change of the mapping                                 begins with mm_lock_change()
 *   a system call that may write there                      mm_give(): as long as they are mapped its pages are not
 *                                                           protected again, since the host's kernel would answer
 *                                                           EFAULT, or lose what it reads
 *
 * Only private anonymous memory is protected: other memory can be written to by others, through a file or another
 * mapping. What another process writes (process_vm_writev, /proc/PID/mem) is not provided for: the former fails, the
 * latter is not heard of. */
#include "process/mm_internal.h"

#include "base/util.h"
#include "cpu/riscv/code.h"
#include "host/syscall.h"

#include <sys/syscall.h>

/* Each may cost the host two mappings, of which it allows a process 65,530; the guest wants some too. */
#define MAX_GUARDED 16384

#define WX          (PROT_WRITE | PROT_EXEC)

/* ---- Sets of pages ---- */

static bool bit_is_set(const uint64_t *bits, uint64_t page)
{
    return bits && (bits[page / 64] >> page % 64 & 1);
}

static void bit_set(uint64_t *bits, uint64_t page)
{
    bits[page / 64] |= UINT64_C(1) << page % 64;
}

static void bit_clear(uint64_t *bits, uint64_t page)
{
    bits[page / 64] &= ~(UINT64_C(1) << page % 64);
}

static size_t bits_size(const struct mm *mm)
{
    return mm->limit / MM_PAGE / 8;
}

/* A bit for each page of the guest, which costs memory where there are some. NULL: none to be had. */
static uint64_t *bits_of(const struct mm *mm, uint64_t **bits)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (!*bits) {
        void *got = mmap(NULL, bits_size(mm), PROT_READ | PROT_WRITE, flags, -1, 0);
        *bits = got == MAP_FAILED ? NULL : got;
    }
    return *bits;
}

void mm_guard_release(struct mm *mm)
{
    if (mm->guarded)
        munmap(mm->guarded, bits_size(mm));
    if (mm->given)
        munmap(mm->given, bits_size(mm));
}

/* ---- For the code ---- */

/* In a signal handler too, so not by libc's mprotect(), which sets errno. */
static bool set_host_prot(const struct mm *mm, uint64_t start, uint64_t end, int prot)
{
    return host_syscall(SYS_mprotect, (long)mm_host(mm, start), (long)(end - start), prot, 0, 0, 0) == 0;
}

static bool can_guard(const struct mm *mm, uint64_t page)
{
    const struct mm_region *r = regions_find(&mm->regions, page);
    return r && r->start <= page && (r->prot & WX) == WX && !r->shared && !r->file && !r->growsdown &&
           !bit_is_set(mm->given, page / MM_PAGE);
}

bool mm_protect(void *context, uint64_t page)
{
    struct mm *mm = context;
    pthread_mutex_lock(&mm->lock);
    bool done = !mm->guard_none && mm->guarded_count < MAX_GUARDED && can_guard(mm, page) &&
                bits_of(mm, &mm->guarded) && bits_of(mm, &mm->given) &&
                set_host_prot(mm, page, page + MM_PAGE, PROT_READ);
    if (done) {
        bit_set(mm->guarded, page / MM_PAGE);
        mm->guarded_count++;
        mm->guard_low = MIN(mm->guard_low, page);
        mm->guard_high = MAX(mm->guard_high, page + MM_PAGE);
    }
    pthread_mutex_unlock(&mm->lock);
    return done;
}

static bool is_writable(const struct mm *mm, uint64_t page)
{
    const struct mm_region *r = regions_find(&mm->regions, page);
    return r && r->start <= page && (r->prot & PROT_WRITE);
}

/* Gives one page the guest's rights again. */
static bool expose(struct mm *mm, uint64_t page)
{
    if (is_writable(mm, page) && !set_host_prot(mm, page, page + MM_PAGE, PROT_READ | PROT_WRITE))
        return false;
    bit_clear(mm->guarded, page / MM_PAGE);
    mm->guarded_count--;
    return true;
}

/* The host has no mapping left to be cut. As many as there are reserved holes are given back to it, and nothing is
 * protected any more: the guest may take those mappings too, and then there is no way back. */
static void expose_all(struct mm *mm)
{
    int error = errno; /* of the code that has faulted */
    mm->guard_none = true;
    mm_yield_holes(mm);
    errno = error;
    for (uint64_t page = mm->guard_low; page < mm->guard_high && mm->guarded_count; page += MM_PAGE)
        if (bit_is_set(mm->guarded, page / MM_PAGE))
            expose(mm, page);
}

bool mm_unprotect(void *context, uint64_t page, uint64_t *start, uint64_t *end)
{
    struct mm *mm = context;
    *start = page;
    *end = page + MM_PAGE;
    pthread_mutex_lock(&mm->lock);
    if (bit_is_set(mm->guarded, page / MM_PAGE) && !expose(mm, page)) {
        expose_all(mm);
        *start = mm->guard_low;
        *end = mm->guard_high;
    }
    bool writable = is_writable(mm, page) && !bit_is_set(mm->guarded, page / MM_PAGE);
    pthread_mutex_unlock(&mm->lock);
    return writable;
}

/* ---- Changes of the mapping ---- */

static bool any_guarded(const struct mm *mm, uint64_t start, uint64_t end)
{
    uint64_t page = MAX(start, mm->guard_low) / MM_PAGE;
    uint64_t beyond = (MIN(end, mm->guard_high) + MM_PAGE - 1) / MM_PAGE;
    while (page < beyond) {
        uint64_t word = mm->guarded[page / 64] >> page % 64;
        if (word)
            return page + (uint64_t)__builtin_ctzll(word) < beyond;
        page = (page | 63) + 1;
    }
    return false;
}

void mm_lock_move(struct mm *mm, uint64_t start, uint64_t end, uint64_t to, uint64_t to_end)
{
    pthread_mutex_lock(&mm->lock);
    while (unlikely(mm->guarded_count) && !mm->guard_none &&
           (any_guarded(mm, start, end) || any_guarded(mm, to, to_end))) {
        pthread_mutex_unlock(&mm->lock);
        code_unprotect(mm->code, start, end);
        code_unprotect(mm->code, to, to_end);
        pthread_mutex_lock(&mm->lock);
    }
}

void mm_lock_change(struct mm *mm, uint64_t start, uint64_t end)
{
    mm_lock_move(mm, start, end, 0, 0);
}

/* ---- System calls ---- */

void mm_guard_none(struct mm *mm)
{
    pthread_mutex_lock(&mm->lock);
    mm->guard_none = true;
    pthread_mutex_unlock(&mm->lock);
    code_unprotect(mm->code, 0, mm->limit);
}

void mm_note_rights(struct mm *mm, const struct mm_region *r)
{
    if ((r->prot & WX) != WX || r->shared)
        return;
    struct mm_span *span = &mm->wx;
    if (r->start < atomic_load_explicit(&span->low, memory_order_relaxed))
        atomic_store_explicit(&span->low, r->start, memory_order_relaxed);
    if (r->end > atomic_load_explicit(&span->high, memory_order_relaxed))
        atomic_store_explicit(&span->high, r->end, memory_order_relaxed);
}

const struct mm_span *mm_wx_span(const struct mm *mm)
{
    return &mm->wx;
}

/* Notes the pages that code may be made from. */
static void note_given(struct mm *mm, uint64_t start, uint64_t end)
{
    const struct mm_region *r;
    for (uint64_t at = start; at < end && (r = regions_find(&mm->regions, at)) && r->start < end;
         at = r->end) {
        if ((r->prot & WX) != WX || r->shared)
            continue;
        uint64_t first = MAX(r->start, start), beyond = MIN(r->end, end);
        for (uint64_t page = first; page < beyond; page += MM_PAGE)
            bit_set(mm->given, page / MM_PAGE);
        mm->given_low = MIN(mm->given_low, first);
        mm->given_high = MAX(mm->given_high, beyond);
    }
}

void mm_guard_forget(struct mm *mm, uint64_t start, uint64_t end)
{
    uint64_t page = MAX(start, mm->given_low) / MM_PAGE, beyond = MIN(end, mm->given_high) / MM_PAGE;
    while (page < beyond) {
        if (!mm->given[page / 64])
            page |= 63; /* a look costs no memory, as a write would */
        else if (bit_is_set(mm->given, page))
            bit_clear(mm->given, page);
        page++;
    }
}

void mm_give(struct mm *mm, uint64_t address, uint64_t length)
{
    uint64_t start = ALIGN_DOWN(address, MM_PAGE), end = MIN(ALIGN_UP(address + length, MM_PAGE), mm->limit);
    pthread_mutex_lock(&mm->lock);
    if (bits_of(mm, &mm->given)) /* else nothing is ever protected */
        note_given(mm, start, end);
    bool guarded = any_guarded(mm, start, end);
    pthread_mutex_unlock(&mm->lock);
    if (guarded)
        code_unprotect(mm->code, start, end);
}
