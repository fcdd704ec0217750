/* Fences. What another hart asks for, it leaves in the hart's mailbox; a hart inside its engine is kicked and waited
 * for, one outside finds it before its next instruction. Who waits is outside itself, so nobody waits for it. */
#include "cpu/riscv/system_internal.h"

#include "base/util.h"

#include <stdlib.h>

int system_mailbox_init(struct system_hart *h)
{
    struct system_mailbox *m = h->mailbox = calloc(1, sizeof(*m));
    if (!m)
        return -1;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->served_one, NULL);
    pthread_cond_init(&m->wake, NULL);
    return 0;
}

void system_mailbox_release(struct system_hart *h)
{
    struct system_mailbox *m = h->mailbox;
    if (!m)
        return;
    pthread_cond_destroy(&m->wake);
    pthread_cond_destroy(&m->served_one);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- Inside and outside ---- */

void system_go_inside(struct system_hart *h)
{
    pthread_mutex_lock(&h->mailbox->lock);
    h->mailbox->inside = true;
    pthread_mutex_unlock(&h->mailbox->lock);
}

void system_go_outside(struct system_hart *h)
{
    struct system_mailbox *m = h->mailbox;
    pthread_mutex_lock(&m->lock);
    m->inside = false;
    if (m->waiting)
        pthread_cond_broadcast(&m->served_one);
    pthread_mutex_unlock(&m->lock);
}

bool system_is_inside(const struct system_hart *h)
{
    pthread_mutex_lock(&h->mailbox->lock);
    bool inside = h->mailbox->inside;
    pthread_mutex_unlock(&h->mailbox->lock);
    return inside;
}

/* ---- The hart's own ---- */

void system_fence_i(struct system_hart *h)
{
    code_fence(h->hart.code);
}

bool system_sfence(struct system_hart *h, unsigned what, uint64_t address, uint64_t asid)
{
    uint64_t context = h->hart.context;
    tlb_fence(&h->tlb, what, address, 1, asid);
    system_set_context(h);
    return h->hart.context != context;
}

/* ---- Of others ---- */

static bool is_everything(const struct system_request *r)
{
    return r->size == 0 || r->size == UINT64_MAX;
}

/* Whoever asks for a FENCE.I has killed the units that have changed; the hart has left those that it was in. */
static void serve(struct system_hart *h, const struct system_request *r)
{
    if (r->kind == SYSTEM_FENCE_I)
        return;
    unsigned what =
        (is_everything(r) ? 0 : TLB_FENCE_ADDRESS) | (r->kind == SYSTEM_SFENCE_VMA_ASID ? TLB_FENCE_ASID : 0);
    tlb_fence(&h->tlb, what, r->start, r->size, r->asid);
}

void system_serve_fences(struct system_hart *h)
{
    struct system_mailbox *m = h->mailbox;
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < MIN(m->count, (unsigned)SYSTEM_REQUESTS); i++)
        serve(h, &m->requests[i]);
    if (m->count > SYSTEM_REQUESTS)
        tlb_drop_all(&h->tlb);
    m->count = 0;
    m->served = m->posted;
    if (m->waiting)
        pthread_cond_broadcast(&m->served_one);
    pthread_mutex_unlock(&m->lock);
    system_set_context(h);
}

/* Returns the request's number. */
static uint64_t post(struct system_hart *h, const struct system_request *r)
{
    struct system_mailbox *m = h->mailbox;
    pthread_mutex_lock(&m->lock);
    if (m->count < SYSTEM_REQUESTS)
        m->requests[m->count] = *r;
    m->count = MIN(m->count + 1, SYSTEM_REQUESTS + 1u);
    uint64_t number = ++m->posted;
    atomic_fetch_or_explicit(&h->wants, SYSTEM_WANT_FENCE, memory_order_release);
    bool inside = m->inside;
    pthread_mutex_unlock(&m->lock);
    if (inside)
        engine_kick(&h->hart);
    return number;
}

static void wait_for(struct system_hart *h, uint64_t number)
{
    struct system_mailbox *m = h->mailbox;
    pthread_mutex_lock(&m->lock);
    m->waiting++;
    while (m->inside && m->served < number)
        pthread_cond_wait(&m->served_one, &m->lock);
    m->waiting--;
    pthread_mutex_unlock(&m->lock);
}

void system_fence(struct system_hart *self, uint64_t hart_mask, enum system_fence kind, uint64_t start,
                  uint64_t size, uint64_t asid)
{
    struct system *s = self->system;
    const struct system_request request = {kind, start, size, asid};
    uint64_t numbers[SYSTEM_MAX_HARTS];
    if (kind == SYSTEM_FENCE_I)
        system_fence_i(self);
    if (s->config.harts < SYSTEM_MAX_HARTS)
        hart_mask &= BIT(s->config.harts) - 1;
    for (uint64_t left = hart_mask; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        numbers[i] = post(s->harts[i], &request);
    }
    for (uint64_t left = hart_mask & ~BIT(self->index); left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        wait_for(s->harts[i], numbers[i]);
    }
}
