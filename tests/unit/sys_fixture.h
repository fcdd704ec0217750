/* An owner for a hart's privileged state, for tests: clocks that stand still until a test moves them, and a little
 * memory.
 *
 * Threads: as struct hart_sys. Lifetime: a plain value, owner_init(). */
#ifndef TESTS_UNIT_SYS_FIXTURE_H
#define TESTS_UNIT_SYS_FIXTURE_H

#include "cpu/riscv/sys.h"

#include <stddef.h>
#include <string.h>

#define MEMORY_BASE UINT64_C(0x80000000)
#define MEMORY_SIZE 0x20000u

struct owner {
    struct hart_sys sys;
    uint64_t time, cycles, retired;
    uint32_t fcsr;
    bool no_entropy;
    uint64_t interfere; /* if not 0: what another hart writes just before the next compare-and-swap */
    unsigned loads, swaps;
    uint64_t memory[MEMORY_SIZE / 8];
};

static inline struct owner *owner_of(const struct hart_sys *sys)
{
    return (struct owner *)((char *)sys - offsetof(struct owner, sys));
}

static inline uint64_t owner_time(const struct hart_sys *sys)
{
    return owner_of(sys)->time;
}

static inline uint64_t owner_cycles(const struct hart_sys *sys)
{
    return owner_of(sys)->cycles;
}

static inline uint64_t owner_retired(const struct hart_sys *sys)
{
    return owner_of(sys)->retired;
}

static inline uint32_t owner_fcsr(const struct hart_sys *sys)
{
    return owner_of(sys)->fcsr;
}

static inline void owner_set_fcsr(struct hart_sys *sys, uint32_t fcsr)
{
    owner_of(sys)->fcsr = fcsr;
}

static inline bool owner_entropy(struct hart_sys *sys, uint16_t *bits)
{
    *bits = 0xbeef;
    return !owner_of(sys)->no_entropy;
}

static inline uint64_t *owner_memory(struct owner *o, uint64_t gpa)
{
    return gpa >= MEMORY_BASE && gpa - MEMORY_BASE < MEMORY_SIZE ? &o->memory[(gpa - MEMORY_BASE) / 8] : NULL;
}

static inline bool owner_load64(struct hart_sys *sys, uint64_t gpa, uint64_t *value)
{
    const uint64_t *at = owner_memory(owner_of(sys), gpa);
    owner_of(sys)->loads++;
    if (at)
        *value = *at;
    return at;
}

static inline enum sys_cas owner_cas64(struct hart_sys *sys, uint64_t gpa, uint64_t expected,
                                       uint64_t desired)
{
    struct owner *o = owner_of(sys);
    uint64_t *at = owner_memory(o, gpa);
    o->swaps++;
    if (!at)
        return SYS_CAS_FAULT;
    if (o->interfere)
        *at = o->interfere;
    o->interfere = 0;
    if (*at != expected)
        return SYS_CAS_OTHER;
    *at = desired;
    return SYS_CAS_DONE;
}

static const struct sys_ops owner_ops = {
    .time = owner_time,
    .cycles = owner_cycles,
    .retired = owner_retired,
    .fcsr = owner_fcsr,
    .set_fcsr = owner_set_fcsr,
    .entropy = owner_entropy,
    .load64 = owner_load64,
    .cas64 = owner_cas64,
};

static inline void owner_init(struct owner *o, uint32_t features)
{
    const struct sys_config config = {
        .hartid = 7,
        .mimpid = 99,
        .misa = MISA_LETTER('I') | MISA_LETTER('F') | MISA_LETTER('S') | MISA_LETTER('U'),
        .features = features,
        .satp_mode = SATP_SV57,
    };
    memset(o, 0, sizeof(*o));
    sys_init(&o->sys, &owner_ops, &config);
}

/* A CSR instruction in a mode, which is the current one afterwards, too. */
static inline unsigned owner_csr(struct owner *o, enum priv mode, unsigned number, enum sys_csr_op op,
                                 uint64_t operand, uint64_t *old)
{
    o->sys.mode = (uint8_t)mode;
    return sys_csr(&o->sys, number, op, operand, old);
}

static inline unsigned csr_write(struct owner *o, unsigned number, uint64_t value)
{
    uint64_t old;
    return owner_csr(o, PRIV_M, number, SYS_CSR_WRITE, value, &old);
}

/* Machine mode reads; a register that there is not reads as all ones. */
static inline uint64_t csr_read(struct owner *o, unsigned number)
{
    uint64_t old;
    return owner_csr(o, PRIV_M, number, SYS_CSR_READ, 0, &old) & SYS_ILLEGAL ? UINT64_MAX : old;
}

#endif
