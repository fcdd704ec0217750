/* Counters: each is a value and what its source said when the value was true, so that counting costs nothing. */
#include "cpu/riscv/sys_internal.h"

#define PROGRAMMABLE (UINT32_MAX << 3)

static unsigned event_of(const struct hart_sys *sys, unsigned index)
{
    if (index == COUNTER_CY)
        return EVENT_CYCLES;
    if (index == COUNTER_IR)
        return EVENT_RETIRED;
    return (unsigned)(sys->mhpmevent[index] & EVENT_NUMBER);
}

static uint64_t source(const struct hart_sys *sys, unsigned index)
{
    switch (event_of(sys, index)) {
    case EVENT_CYCLES: return sys->ops->cycles(sys);
    case EVENT_RETIRED: return sys->ops->retired(sys);
    default: return 0;
    }
}

static bool is_counting(const struct hart_sys *sys, unsigned index)
{
    const uint64_t inhibits[] = {[PRIV_U] = EVENT_UINH, [PRIV_S] = EVENT_SINH, [PRIV_M] = EVENT_MINH};
    return !(sys->mcountinhibit >> index & 1) && !(sys->mhpmevent[index] & inhibits[sys->mode]);
}

static void overflow(struct hart_sys *sys, unsigned index)
{
    if (!sys_has(sys, SYS_SSCOFPMF) || !(PROGRAMMABLE >> index & 1) || sys->mhpmevent[index] & EVENT_OF)
        return;
    sys->mhpmevent[index] |= EVENT_OF;
    atomic_fetch_or_explicit(&sys->mip, BIT(IRQ_LCOFI), memory_order_relaxed);
}

/* What the source will say when the instruction under way has retired. */
static uint64_t source_after(const struct hart_sys *sys, unsigned index)
{
    return source(sys, index) + (event_of(sys, index) == EVENT_RETIRED);
}

static void settle_at(struct hart_sys *sys, unsigned index, uint64_t now)
{
    struct sys_counter *counter = &sys->counter[index];
    if ((int64_t)(now - counter->seen) <= 0) /* it starts with the next instruction */
        return;
    uint64_t before = counter->value;
    if (is_counting(sys, index))
        counter->value += now - counter->seen;
    counter->seen = now;
    if (counter->value < before)
        overflow(sys, index);
}

static void settle(struct hart_sys *sys, unsigned index)
{
    settle_at(sys, index, source(sys, index));
}

void counters_settle(struct hart_sys *sys, uint32_t which)
{
    for (which &= ~(uint32_t)BIT(COUNTER_TM); which; which &= which - 1)
        settle(sys, (unsigned)__builtin_ctz(which));
}

void counters_reset(struct hart_sys *sys)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        sys->counter[i] = (struct sys_counter){0};
        sys->mhpmevent[i] = 0;
    }
    sys->mcounteren = sys->scounteren = sys->mcountinhibit = sys->filtered = 0;
    sys->counter[COUNTER_CY].seen = sys->ops->cycles(sys);
    sys->counter[COUNTER_IR].seen = sys->ops->retired(sys);
}

uint64_t counter_read(struct hart_sys *sys, unsigned index)
{
    settle(sys, index);
    return sys->counter[index].value;
}

void counter_write(struct hart_sys *sys, unsigned index, uint64_t value)
{
    settle(sys, index); /* for an overflow before this; the instruction itself is not counted */
    sys->counter[index].value = value;
    sys->counter[index].seen = source_after(sys, index);
}

/* "Any CSR write takes effect after the writing instruction has otherwise completed." */
void counters_inhibit(struct hart_sys *sys, uint32_t inhibited)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        if (i != COUNTER_TM)
            settle_at(sys, i, source_after(sys, i));
    sys->mcountinhibit = inhibited & ~(uint32_t)BIT(COUNTER_TM);
}

/* Events that Guise does not count become "no event". */
void counter_set_event(struct hart_sys *sys, unsigned index, uint64_t event)
{
    const uint64_t filter = EVENT_MINH | EVENT_SINH | EVENT_UINH;
    uint64_t flags = sys_has(sys, SYS_SSCOFPMF) ? filter | EVENT_OF : 0;
    uint64_t number = event & EVENT_NUMBER;
    settle_at(sys, index, source_after(sys, index));
    sys->mhpmevent[index] =
        (event & flags) | (number == EVENT_CYCLES || number == EVENT_RETIRED ? number : 0);
    sys->filtered = (uint32_t)merge(sys->filtered, event & flags & filter ? UINT32_MAX : 0, BIT(index));
    sys->counter[index].seen = source_after(sys, index);
}
