/* What concerns harts: TIME, IPI, RFENCE, HSM, SUSP. */
#include "base/util.h"
#include "machine/sbi.h"

/* ---- TIME: chapter 6 ---- */

static long set_timer(struct sbi_call *call)
{
    system_hart_set_timer(call->hart->hart, call->argument[0]);
    return SBI_SUCCESS;
}

static const sbi_function time_functions[] = {set_timer};
const struct sbi_extension sbi_time = {0x54494d45, ARRAY_SIZE(time_functions), time_functions};

/* ---- IPI: chapter 7 ---- */

static long send_ipi(struct sbi_call *call)
{
    struct machine *m = call->hart->machine;
    uint64_t harts;
    if (!sbi_harts(m, call->argument[0], call->argument[1], &harts))
        return SBI_ERR_INVALID_PARAM;
    for (; harts; harts &= harts - 1)
        system_hart_raise_ssi(m->harts[__builtin_ctzll(harts)].hart);
    return SBI_SUCCESS;
}

static const sbi_function ipi_functions[] = {send_ipi};
const struct sbi_extension sbi_ipi = {0x735049, ARRAY_SIZE(ipi_functions), ipi_functions};

/* ---- RFENCE: chapter 8; the functions for hypervisors are not there, as there is no extension H ---- */

static long fence(struct sbi_call *call, enum system_fence kind, uint64_t start, uint64_t size, uint64_t asid)
{
    uint64_t harts;
    if (!sbi_harts(call->hart->machine, call->argument[0], call->argument[1], &harts))
        return SBI_ERR_INVALID_PARAM;
    system_fence(call->hart->hart, harts, kind, start, size, asid);
    return SBI_SUCCESS;
}

static long remote_fence_i(struct sbi_call *call)
{
    return fence(call, SYSTEM_FENCE_I, 0, 0, 0);
}

static long remote_sfence_vma(struct sbi_call *call)
{
    return fence(call, SYSTEM_SFENCE_VMA, call->argument[2], call->argument[3], 0);
}

static long remote_sfence_vma_asid(struct sbi_call *call)
{
    return fence(call, SYSTEM_SFENCE_VMA_ASID, call->argument[2], call->argument[3], call->argument[4]);
}

static const sbi_function rfence_functions[] = {remote_fence_i, remote_sfence_vma, remote_sfence_vma_asid};
const struct sbi_extension sbi_rfence = {0x52464e43, ARRAY_SIZE(rfence_functions), rfence_functions};

/* ---- HSM: chapter 9 ---- */

enum {
    SUSPEND_RETENTIVE = 0,
    SUSPEND_NON_RETENTIVE_BIT = 31, /* of the type; with no other bit the default */
};

static bool is_code_address(const struct machine *m, uint64_t gpa)
{
    return gpa % 2 == 0 && gmem_find(&m->board->memory, gpa);
}

static long start_hart(struct sbi_call *call)
{
    struct machine *m = call->hart->machine;
    const struct hart_start start = {.mode = PRIV_S, .pc = call->argument[1], .a1 = call->argument[2]};
    if (call->argument[0] >= m->count)
        return SBI_ERR_INVALID_PARAM;
    struct machine_hart *h = &m->harts[call->argument[0]];
    if (!is_code_address(m, start.pc))
        return SBI_ERR_INVALID_ADDRESS;
    return hart_request_start(h, &start) ? SBI_SUCCESS : SBI_ERR_ALREADY_AVAILABLE;
}

static long stop_hart(struct sbi_call *call)
{
    hart_stop(call->hart);
    call->elsewhere = true;
    return SBI_SUCCESS;
}

static long get_status(struct sbi_call *call)
{
    const struct machine *m = call->hart->machine;
    if (call->argument[0] >= m->count)
        return SBI_ERR_INVALID_PARAM;
    call->value = m->harts[call->argument[0]].state;
    return SBI_SUCCESS;
}

/* Sleeps, and goes on at another place with all but a0 and a1 lost. */
static void sleep_and_resume(struct sbi_call *call, uint64_t pc, uint64_t opaque)
{
    const struct hart_start resume = {.mode = PRIV_S, .pc = pc, .a1 = opaque};
    hart_suspend(call->hart);
    hart_begin(call->hart, &resume);
    call->elsewhere = true;
}

static long suspend_hart(struct sbi_call *call)
{
    uint32_t type = (uint32_t)call->argument[0];
    if (type == SUSPEND_RETENTIVE) {
        hart_suspend(call->hart);
        return SBI_SUCCESS;
    }
    if (type !=
        UINT32_C(1)
            << SUSPEND_NON_RETENTIVE_BIT) /* the platform has no types of its own; the rest is reserved */
        return (type & 0x70000000) == 0x10000000 ? SBI_ERR_NOT_SUPPORTED : SBI_ERR_INVALID_PARAM;
    if (!is_code_address(call->hart->machine, call->argument[1]))
        return SBI_ERR_INVALID_ADDRESS;
    sleep_and_resume(call, call->argument[1], call->argument[2]);
    return SBI_SUCCESS;
}

static const sbi_function hsm_functions[] = {start_hart, stop_hart, get_status, suspend_hart};
const struct sbi_extension sbi_hsm = {0x48534d, ARRAY_SIZE(hsm_functions), hsm_functions};

/* ---- SUSP: chapter 13 ---- */

enum { SLEEP_SUSPEND_TO_RAM = 0 };
#define SLEEP_PLATFORM UINT32_C(0x80000000) /* and above: types of the platform's own */

static bool others_are_stopped(const struct machine_hart *h)
{
    for (unsigned i = 0; i < h->machine->count; i++)
        if (i != h->index && h->machine->harts[i].state != HART_STOPPED)
            return false;
    return true;
}

static long suspend_system(struct sbi_call *call)
{
    uint32_t type = (uint32_t)call->argument[0];
    if (type != SLEEP_SUSPEND_TO_RAM)
        return type >= SLEEP_PLATFORM ? SBI_ERR_NOT_SUPPORTED : SBI_ERR_INVALID_PARAM;
    if (!is_code_address(call->hart->machine, call->argument[1]))
        return SBI_ERR_INVALID_ADDRESS;
    if (!others_are_stopped(call->hart))
        return SBI_ERR_DENIED;
    sleep_and_resume(call, call->argument[1], call->argument[2]);
    return SBI_SUCCESS;
}

static const sbi_function susp_functions[] = {suspend_system};
const struct sbi_extension sbi_susp = {0x53555350, ARRAY_SIZE(susp_functions), susp_functions};
