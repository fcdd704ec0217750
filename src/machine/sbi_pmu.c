/* PMU: chapter 11. There are the hardware events that the counters know, none of the firmware, and no snapshots. */
#include "machine/sbi_pmu.h"

#include "base/util.h"
#include "isa/riscv/isa.h"
#include "machine/sbi.h"

enum {
    EVENT_TYPE_SHIFT = 16, /* of an event's index; type 0: general hardware events */

    MATCH_SKIP = 1 << 0, /* the counter is known: do not look for one */
    MATCH_CLEAR = 1 << 1,
    MATCH_START = 1 << 2,
    MATCH_UINH = 1 << 5,
    MATCH_SINH = 1 << 6,
    MATCH_ALL = 0xff,

    START_SET_VALUE = 1 << 0,
    STOP_RESET = 1 << 0,

    INFO_WIDTH_SHIFT = 12, /* of counter_get_info: bits less one */
};

void sbi_pmu_reset(struct sbi_pmu *pmu)
{
    *pmu = (struct sbi_pmu){0};
}

/* The hardware's number: 0 cycle, 2 instret, 3 and on programmable. */
static unsigned hardware(unsigned counter)
{
    return counter == SBI_PMU_CYCLE ? COUNTER_CY : counter + 1;
}

/* A CSR as the firmware below S-mode reaches it. */
static uint64_t csr(struct machine_hart *h, unsigned number, enum sys_csr_op op, uint64_t operand)
{
    struct hart_sys *sys = &h->hart->sys;
    uint64_t old = 0;
    uint64_t mode = sys->mode;
    sys->mode = PRIV_M;
    sys_csr(sys, number, op, operand, &old);
    sys->mode = mode;
    return old;
}

static void set_counting(struct machine_hart *h, unsigned counter, bool on)
{
    csr(h, RV_CSR_MCOUNTINHIBIT, on ? SYS_CSR_CLEAR : SYS_CSR_SET, BIT(hardware(counter)));
}

static void set_value(struct machine_hart *h, unsigned counter, uint64_t value)
{
    csr(h, RV_CSR_MCYCLE + hardware(counter), SYS_CSR_WRITE, value);
}

static void set_event(struct machine_hart *h, unsigned counter, uint64_t event)
{
    if (counter >= SBI_PMU_PROGRAMMABLE)
        csr(h, RV_CSR_MHPMEVENT3 + hardware(counter) - 3, SYS_CSR_WRITE, event);
}

/* Counters that a base and a mask name; false when one of them is not there. */
static bool counters_named(const struct sbi_call *call, uint32_t *counters)
{
    uint64_t base = call->argument[0], mask = call->argument[1];
    *counters = base < SBI_PMU_COUNTERS ? (uint32_t)(mask << base) : 0;
    return mask && base < SBI_PMU_COUNTERS && 64 - (unsigned)__builtin_clzll(mask) + base <= SBI_PMU_COUNTERS;
}

static long num_counters(struct sbi_call *call)
{
    call->value = SBI_PMU_COUNTERS;
    return SBI_SUCCESS;
}

static long get_info(struct sbi_call *call)
{
    if (call->argument[0] >= SBI_PMU_COUNTERS)
        return SBI_ERR_INVALID_PARAM;
    call->value = (RV_CSR_CYCLE + hardware((unsigned)call->argument[0])) | 63 << INFO_WIDTH_SHIFT;
    return SBI_SUCCESS;
}

static long start_one(struct machine_hart *h, unsigned counter, bool set, uint64_t value)
{
    if (h->pmu.started >> counter & 1)
        return SBI_ERR_ALREADY_STARTED;
    if (set)
        set_value(h, counter, value);
    if (counter >= SBI_PMU_PROGRAMMABLE)
        csr(h, RV_CSR_MHPMEVENT3 + hardware(counter) - 3, SYS_CSR_CLEAR, EVENT_OF);
    set_counting(h, counter, true);
    h->pmu.started |= UINT32_C(1) << counter;
    return SBI_SUCCESS;
}

/* An unused counter of the set; for the kernel's own filters it has to be a programmable one. */
static int choose(const struct machine_hart *h, uint32_t counters, uint64_t event, uint64_t flags)
{
    const uint32_t fixed = UINT32_C(1) << (event == EVENT_CYCLES ? SBI_PMU_CYCLE : SBI_PMU_INSTRET);
    uint32_t unused = counters & ~h->pmu.used, programmable = unused & (UINT32_MAX << SBI_PMU_PROGRAMMABLE);
    if (programmable)
        return __builtin_ctz(programmable);
    return unused & fixed && !(flags & (MATCH_UINH | MATCH_SINH)) ? __builtin_ctz(fixed) : -1;
}

static long config_matching(struct sbi_call *call)
{
    struct machine_hart *h = call->hart;
    uint64_t flags = call->argument[2], event = call->argument[3];
    uint32_t counters;
    if (!counters_named(call, &counters) || flags & ~(uint64_t)MATCH_ALL)
        return SBI_ERR_INVALID_PARAM;
    if (flags & MATCH_SKIP && !(counters & h->pmu.used))
        return SBI_ERR_FAILED;
    if (event >> EVENT_TYPE_SHIFT || (event != EVENT_CYCLES && event != EVENT_RETIRED))
        return SBI_ERR_NOT_SUPPORTED;
    int counter = flags & MATCH_SKIP ? __builtin_ctz(counters) : choose(h, counters, event, flags);
    if (counter < 0)
        return SBI_ERR_NOT_SUPPORTED;
    if (!(flags & MATCH_SKIP)) {
        set_counting(h, (unsigned)counter, false);
        set_event(h, (unsigned)counter,
                  event | (flags & MATCH_UINH ? EVENT_UINH : 0) | (flags & MATCH_SINH ? EVENT_SINH : 0));
        h->pmu.used |= UINT32_C(1) << counter;
    }
    if (flags & MATCH_CLEAR)
        set_value(h, (unsigned)counter, 0);
    if (flags & MATCH_START)
        start_one(h, (unsigned)counter, false, 0);
    call->value = (uint64_t)counter;
    return SBI_SUCCESS;
}

static long start(struct sbi_call *call)
{
    uint32_t counters;
    uint64_t flags = call->argument[2];
    long result = SBI_SUCCESS;
    if (!counters_named(call, &counters) || flags & ~(uint64_t)START_SET_VALUE)
        return SBI_ERR_INVALID_PARAM;
    for (; counters; counters &= counters - 1) {
        unsigned counter = (unsigned)__builtin_ctz(counters);
        long r = start_one(call->hart, counter, flags & START_SET_VALUE, call->argument[3]);
        result = r ? r : result;
    }
    return result;
}

static long stop(struct sbi_call *call)
{
    struct sbi_pmu *pmu = &call->hart->pmu;
    uint32_t counters;
    uint64_t flags = call->argument[2];
    long result = SBI_SUCCESS;
    if (!counters_named(call, &counters) || flags & ~(uint64_t)STOP_RESET)
        return SBI_ERR_INVALID_PARAM;
    for (; counters; counters &= counters - 1) {
        unsigned counter = (unsigned)__builtin_ctz(counters);
        if (pmu->started >> counter & 1)
            set_counting(call->hart, counter, false);
        else
            result = SBI_ERR_ALREADY_STOPPED;
        pmu->started &= ~(UINT32_C(1) << counter);
        if (flags & STOP_RESET) {
            set_event(call->hart, counter, 0);
            pmu->used &= ~(UINT32_C(1) << counter);
        }
    }
    return result;
}

/* No counter counts events of the firmware. */
static long firmware_read(struct sbi_call *call)
{
    (void)call;
    return SBI_ERR_INVALID_PARAM;
}

static const sbi_function functions[] = {
    num_counters, get_info, config_matching, start, stop, firmware_read, firmware_read, NULL,
};
const struct sbi_extension sbi_pmu = {0x504d55, ARRAY_SIZE(functions), functions};
