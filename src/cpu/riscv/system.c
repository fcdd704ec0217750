#include "cpu/riscv/system_internal.h"

#include "base/error.h"
#include "base/util.h"
#include "cpu/riscv/unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- What the privileged architecture asks of its owner: struct sys_ops ---- */

static const struct system_config *config_of(const struct hart_sys *sys)
{
    return &system_hart_of_sys(sys)->system->config;
}

static uint64_t get_time(const struct hart_sys *sys)
{
    const struct system_config *config = config_of(sys);
    return config->ops->time(config->owner);
}

/* A cycle is a nanosecond. */
static uint64_t get_cycles(const struct hart_sys *sys)
{
    struct timespec now;
    (void)sys;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static uint64_t get_retired(const struct hart_sys *sys)
{
    const struct system_hart *h = system_hart_of_sys(sys);
    return h->hart.instret + h->ahead;
}

static uint32_t get_fcsr(const struct hart_sys *sys)
{
    return hart_fcsr(&system_hart_of_sys(sys)->hart);
}

static void set_fcsr(struct hart_sys *sys, uint32_t fcsr)
{
    hart_set_fcsr(&system_hart_of_sys(sys)->hart, fcsr);
}

static bool get_entropy(struct hart_sys *sys, uint16_t *bits)
{
    const struct system_config *config = config_of(sys);
    return config->ops->entropy && config->ops->entropy(config->owner, bits);
}

static uint64_t *pte_at(const struct hart_sys *sys, uint64_t gpa, const struct gmem_block **block)
{
    const struct gmem_block *b = gmem_find(config_of(sys)->memory, gpa);
    *block = b;
    return b ? (uint64_t *)(b->host + (gpa - b->base)) : NULL;
}

static bool load_pte(struct hart_sys *sys, uint64_t gpa, uint64_t *value)
{
    const struct gmem_block *block;
    const uint64_t *pte = pte_at(sys, gpa, &block);
    if (pte)
        *value = __atomic_load_n(pte, __ATOMIC_ACQUIRE);
    return pte;
}

static enum sys_cas exchange_pte(struct hart_sys *sys, uint64_t gpa, uint64_t expected, uint64_t desired)
{
    const struct gmem_block *block;
    uint64_t *pte = pte_at(sys, gpa, &block);
    if (!pte || block->kind == GMEM_ROM)
        return SYS_CAS_FAULT;
    system_code_write(system_hart_of_sys(sys)->system, block, gpa);
    bool done =
        __atomic_compare_exchange_n(pte, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    return done ? SYS_CAS_DONE : SYS_CAS_OTHER;
}

static const struct sys_ops sys_ops = {
    .time = get_time,
    .cycles = get_cycles,
    .retired = get_retired,
    .fcsr = get_fcsr,
    .set_fcsr = set_fcsr,
    .entropy = get_entropy,
    .load64 = load_pte,
    .cas64 = exchange_pte,
};

/* ---- The machine ---- */

static void hart_free(struct system_hart *h)
{
    if (!h)
        return;
    if (h->hart.code)
        hart_release(&h->hart);
    jit_system_release(h);
    system_lockstep_release(h);
    system_fetch_release(h);
    system_mailbox_release(h);
    tlb_release(&h->tlb);
    windows_release(&h->windows);
    free(h->jumps);
    free(h);
}

static int hart_new(struct system *s, unsigned index, struct guise_error *err)
{
    struct system_hart *h = s->harts[index] = calloc(1, sizeof(*h));
    struct sys_config config = s->config.hart;
    config.hartid = index;
    if (!h)
        return error_set(err, GUISE_E_NOMEM, "no memory for a hart");
    h->system = s;
    h->index = index;
    windows_init(&h->windows, s->config.harts);
    h->jumps = calloc(SYSTEM_JUMPS, sizeof(h->jumps[0])); /* no context has id 0 */
    if (!h->jumps || tlb_init(&h->tlb) || system_mailbox_init(h) || system_fetch_init(h))
        return error_set(err, GUISE_E_NOMEM, "no memory for a hart's translations");
    sys_init(&h->sys, &sys_ops, &config);
    int r = hart_init(&h->hart, s->code, 0, UINT64_MAX, err);
    if (r)
        h->hart.code = NULL; /* nothing to release */
    if (r == 0 && (jit_system_init(h) || system_lockstep_init(h)))
        r = error_set(err, GUISE_E_NOMEM, "no memory for a hart's jump caches");
    return r;
}

static int harts_new(struct system *s, struct guise_error *err)
{
    int r = 0;
    s->harts = calloc(s->config.harts, sizeof(s->harts[0]));
    if (!s->harts)
        return error_set(err, GUISE_E_NOMEM, "no memory for harts");
    for (unsigned i = 0; i < s->config.harts && r == 0; i++)
        r = hart_new(s, i, err);
    return r;
}

/* Those of programs, and the privileged ones. */
static uint64_t all_extensions(uint64_t programs)
{
    return programs | (BIT(RV_EXT_COUNT) - BIT(RV_EXT_PROGRAM_COUNT));
}

static int system_set_up(struct system *s, struct guise_error *err)
{
    s->config.extensions = all_extensions(s->config.extensions);
    if (system_code_init(s))
        return error_set(err, GUISE_E_NOMEM, "no memory to keep account of guest code");
    int r = code_new(&s->code, &system_code_ops, s, 0, s->config.extensions, err);
    if (r == 0)
        r = code_set_engine(s->code, s->config.engine, err);
    return r ? r : harts_new(s, err);
}

int system_new(struct system **out, const struct system_config *config, struct guise_error *err)
{
    if (!config->harts || config->harts > SYSTEM_MAX_HARTS)
        return error_set(err, GUISE_E_CONFIG, "a machine has 1 to %d harts", SYSTEM_MAX_HARTS);
    struct system *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, GUISE_E_NOMEM, "no memory for the machine's harts");
    s->config = *config;
    int r = system_set_up(s, err);
    if (r)
        system_free(s);
    else
        *out = s;
    return r;
}

void system_free(struct system *s)
{
    if (!s)
        return;
    for (unsigned i = 0; s->harts && i < s->config.harts; i++)
        hart_free(s->harts[i]);
    free(s->harts);
    code_free(s->code);
    system_code_release(s);
    free(s);
}

struct system_hart *system_hart(struct system *s, unsigned index)
{
    return s->harts[index];
}

/* ---- State ---- */

void system_set_context(struct system_hart *h)
{
    tlb_set_context(&h->tlb, &h->sys);
    h->hart.tlb = h->tlb.data->entries;
    direct_set_context(h);
    h->hart.context = h->tlb.code->id;
    h->hart.reserve_address = HART_NO_RESERVE;
}

static void write_csr(struct hart_sys *sys, unsigned number, uint64_t value)
{
    uint64_t old;
    sys_csr(sys, number, SYS_CSR_WRITE, value, &old);
}

/* The machine level as firmware leaves it: all that can be is the supervisor's, but for what it has to ask for. */
static void give_to_supervisor(struct hart_sys *sys)
{
    const uint64_t all = UINT64_MAX;
    write_csr(sys, RV_CSR_MEDELEG, all & ~BIT(CAUSE_ECALL_S));
    write_csr(sys, RV_CSR_MIDELEG, all);
    write_csr(sys, RV_CSR_MCOUNTEREN, all);
    write_csr(sys, RV_CSR_MENVCFG, all & ~ENVCFG_FIOM);
    write_csr(sys, RV_CSR_MSTATEEN0, all);
    write_csr(sys, RV_CSR_MSECCFG, MSECCFG_SSEED);
    write_csr(sys, RV_CSR_PMPADDR0, all);
    write_csr(sys, RV_CSR_PMPCFG0, PMP_A_NAPOT | PMP_R | PMP_W | PMP_X);
}

void system_hart_reset(struct system_hart *h, enum priv mode, uint64_t pc, uint64_t a0, uint64_t a1)
{
    enum { A0 = 10, A1 = 11 };
    memset(h->hart.x, 0, sizeof(h->hart.x));
    memset(h->hart.f, 0, sizeof(h->hart.f));
    hart_set_fcsr(&h->hart, 0);
    h->hart.x[A0] = a0;
    h->hart.x[A1] = a1;
    h->hart.pc = pc;
    h->hart.reserve_address = HART_NO_RESERVE;
    sys_reset(&h->sys);
    if (h->system->config.firmware)
        give_to_supervisor(&h->sys);
    h->sys.mode = mode;
    tlb_drop_all(&h->tlb);
    system_set_context(h);
}

uint64_t system_take_trap(struct system_hart *h)
{
    h->hart.reserve_address = HART_NO_RESERVE;
    uint64_t pc = sys_trap(&h->sys, h->trap.cause, h->trap.value, h->hart.pc);
    system_set_context(h);
    if (sys_interrupt(&h->sys))
        system_look(h);
    return pc;
}

void system_hart_trap(struct system_hart *h, uint64_t cause, uint64_t value)
{
    system_fail(h, cause, value);
    h->hart.pc = system_take_trap(h);
}

static void tell_timer(struct system_hart *h)
{
    const struct system_config *config = &h->system->config;
    if (config->ops->timer)
        config->ops->timer(config->owner, h->index, sys_timer_deadline(&h->sys));
}

bool system_effects(struct system_hart *h, unsigned effects)
{
    uint64_t context = h->hart.context;
    if (effects & SYS_STALE)
        tlb_drop_all(&h->tlb);
    if (effects & (SYS_STALE | SYS_CONTEXT))
        system_set_context(h);
    if (effects & SYS_TIMER)
        tell_timer(h);
    if (effects & SYS_INTERRUPT)
        system_look(h);
    return h->hart.context != context || effects & SYS_INTERRUPT;
}

unsigned system_csr(struct system_hart *h, unsigned number, enum sys_csr_op op, uint64_t operand,
                    unsigned ahead, uint64_t *old)
{
    h->ahead = ahead;
    unsigned effects = sys_csr(&h->sys, number, op, operand, old);
    h->ahead = 0;
    return effects;
}

void system_hart_set_timer(struct system_hart *h, uint64_t deadline)
{
    h->sys.stimecmp = deadline;
    if (sys_poll(&h->sys))
        system_look(h);
    tell_timer(h);
}

/* ---- Running ---- */

void system_enter_thread(struct system_hart *h)
{
    engine_enter_thread(&h->hart);
    jit_system_enter_thread(h);
}

void system_leave_thread(struct system_hart *h)
{
    jit_system_leave_thread();
    engine_leave_thread(&h->hart);
}

/* What the hart has of units may be about to be freed: it enters anew. */
static void enter_code(struct system_hart *h)
{
    code_enter(h->hart.code, &h->hart);
    if (h->jumps_epoch == h->hart.jumps_epoch)
        return;
    memset(h->jumps, 0, SYSTEM_JUMPS * sizeof(h->jumps[0]));
    h->jumps_epoch = h->hart.jumps_epoch;
}

bool system_serve(struct system_hart *h)
{
    atomic_exchange_explicit(&h->hart.pending, 0, memory_order_acquire);
    uint32_t wants = atomic_exchange_explicit(&h->wants, 0, memory_order_acquire);
    enter_code(h);
    if (wants & SYSTEM_WANT_FENCE)
        system_serve_fences(h);
    if (wants & SYSTEM_WANT_SWEEP)
        system_code_sweep(h);
    if (wants & SYSTEM_WANT_POLL)
        sys_poll(&h->sys);
    for (uint64_t cause; (cause = sys_interrupt(&h->sys));)
        system_hart_trap(h, cause, 0);
    if (wants & SYSTEM_WANT_LEAVE)
        h->hart.exit.kind = EXIT_PENDING;
    return !(wants & SYSTEM_WANT_LEAVE);
}

static void execute(struct system_hart *h)
{
    do {
        if (h->lockstep)
            system_lockstep_go(h);
        else if (h->jit)
            jit_system_go(h);
        else
            interp_system_go(h, NULL);
    } while (h->hart.exit.kind == EXIT_PENDING && system_serve(h));
}

void system_hart_run(struct system_hart *h)
{
    hart_fpu_enter(&h->hart);
    system_go_inside(h);
    if (system_serve(h))
        execute(h);
    code_leave(&h->hart);
    system_go_outside(h);
    hart_fpu_leave(&h->hart);
}

/* ---- By other threads ---- */

/* Sequentially consistent: what others want first and then the look at the sleeper, who does it the other way round. */
static void want(struct system_hart *h, uint32_t what)
{
    struct system_mailbox *m = h->mailbox;
    atomic_fetch_or(&h->wants, what);
    engine_kick(&h->hart);
    if (!atomic_load(&m->asleep))
        return;
    pthread_mutex_lock(&m->lock);
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

void system_hart_kick(struct system_hart *h)
{
    want(h, SYSTEM_WANT_LEAVE);
}

void system_hart_poll(struct system_hart *h)
{
    want(h, SYSTEM_WANT_POLL);
}

void system_hart_raise_ssi(struct system_hart *h)
{
    sys_raise_ssi(&h->sys);
    want(h, 0);
}

void system_hart_set_line(struct system_hart *h, uint64_t lines, bool level)
{
    for (uint64_t left = lines; left; left &= left - 1)
        sys_set_line(&h->sys, (unsigned)__builtin_ctzll(left), level);
    if (level)
        want(h, 0);
}

/* ---- Sleep ---- */

static bool is_awake(struct system_hart *h, bool stopped)
{
    uint32_t wants = atomic_load(&h->wants); /* before lines and mip, which are set before it */
    if (wants & SYSTEM_WANT_POLL) {
        atomic_fetch_and_explicit(&h->wants, ~(uint32_t)SYSTEM_WANT_POLL, memory_order_acquire);
        sys_poll(&h->sys);
    }
    return wants & SYSTEM_WANT_LEAVE || (!stopped && sys_wakes(&h->sys));
}

bool system_hart_sleep(struct system_hart *h, bool stopped)
{
    struct system_mailbox *m = h->mailbox;
    pthread_mutex_lock(&m->lock);
    atomic_store(&m->asleep, true);
    while (!is_awake(h, stopped))
        pthread_cond_wait(&m->wake, &m->lock);
    atomic_store(&m->asleep, false);
    pthread_mutex_unlock(&m->lock);
    system_look(h); /* what has become pending is looked at before the first instruction */
    return atomic_fetch_and_explicit(&h->wants, ~(uint32_t)SYSTEM_WANT_LEAVE, memory_order_acquire) &
           SYSTEM_WANT_LEAVE;
}
