/* Calls: finding the function. Extension BASE. */
#include "machine/sbi.h"

#include "base/util.h"

enum {
    X_A0 = 10,
    X_A6 = 16,
    X_A7 = 17,
};

/* What the guest reads about the firmware. */
enum {
    SPECIFICATION = 2 << 24,   /* major << 24 | minor */
    IMPLEMENTATION = 0x475349, /* "GSI": the specification has given no number */
    VERSION = 1,
};

static const struct sbi_extension *const extensions[] = {
    &sbi_base, &sbi_time, &sbi_ipi, &sbi_rfence, &sbi_hsm, &sbi_srst, &sbi_pmu, &sbi_dbcn, &sbi_susp,
};

const struct sbi_extension *sbi_find(uint64_t id)
{
    for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
        if (extensions[i]->id == id)
            return extensions[i];
    return NULL;
}

void sbi_call(struct machine_hart *h)
{
    uint64_t *x = h->hart->hart.x;
    struct sbi_call call = {.hart = h};
    for (unsigned i = 0; i < ARRAY_SIZE(call.argument); i++)
        call.argument[i] = x[X_A0 + i];
    const struct sbi_extension *e = sbi_find(x[X_A7]);
    sbi_function function = e && x[X_A6] < e->count ? e->functions[x[X_A6]] : NULL;
    long error = function ? function(&call) : SBI_ERR_NOT_SUPPORTED;
    if (call.elsewhere)
        return;
    x[X_A0] = (uint64_t)error;
    x[X_A0 + 1] = call.value;
    h->hart->hart.pc += 4;
}

bool sbi_harts(const struct machine *m, uint64_t mask, uint64_t base, uint64_t *harts)
{
    const uint64_t all = UINT64_MAX >> (64 - m->count);
    *harts = all;
    if (base == UINT64_MAX)
        return true;
    *harts = base < 64 ? mask << base : 0;
    return (base < 64 || mask == 0) && (*harts & ~all) == 0 &&
           (base == 0 || base > 63 || mask >> (64 - base) == 0);
}

/* ---- BASE: chapter 4 ---- */

static long specification(struct sbi_call *call)
{
    call->value = SPECIFICATION;
    return SBI_SUCCESS;
}

static long implementation(struct sbi_call *call)
{
    call->value = IMPLEMENTATION;
    return SBI_SUCCESS;
}

static long version(struct sbi_call *call)
{
    call->value = VERSION;
    return SBI_SUCCESS;
}

static long probe(struct sbi_call *call)
{
    call->value = sbi_find(call->argument[0]) != NULL;
    return SBI_SUCCESS;
}

/* mvendorid and marchid are 0: there are none. */
static long zero(struct sbi_call *call)
{
    (void)call;
    return SBI_SUCCESS;
}

static long machine_implementation(struct sbi_call *call)
{
    call->value = call->hart->hart->sys.config.mimpid;
    return SBI_SUCCESS;
}

static const sbi_function base_functions[] = {
    specification, implementation, version, probe, zero, zero, machine_implementation,
};

const struct sbi_extension sbi_base = {0x10, ARRAY_SIZE(base_functions), base_functions};
