#include "cpu/riscv/pmp.h"

/* Bytes first ... last; empty when last < first. The last byte rather than the end, for a range may reach the top. */
struct range {
    uint64_t first, last;
};

static struct range entry_range(const struct hart_sys *sys, unsigned i)
{
    uint64_t address = sys->pmpaddr[i];
    uint64_t below = i ? sys->pmpaddr[i - 1] : 0;
    uint64_t ones = address ^ (address + 1); /* the trailing ones and the zero above them */
    switch (sys->pmpcfg[i] & PMP_A) {
    case PMP_A_TOR:
        return below < address ? (struct range){below << 2, (address << 2) - 1} : (struct range){1, 0};
    case PMP_A_NA4: return (struct range){address << 2, address << 2 | 3};
    case PMP_A_NAPOT: return (struct range){(address & ~ones) << 2, (address | ones) << 2 | 3};
    default: return (struct range){1, 0};
    }
}

static bool overlap(struct range a, struct range b)
{
    return a.first <= b.last && b.first <= a.last && a.first <= a.last;
}

static bool covers(struct range outer, struct range inner)
{
    return outer.first <= inner.first && inner.last <= outer.last;
}

static struct range bytes(uint64_t gpa, uint64_t size)
{
    return (struct range){gpa, gpa + (size - 1)};
}

unsigned pmp_rights(const struct hart_sys *sys, uint64_t gpa, uint64_t size, enum priv mode)
{
    const unsigned all = PMP_R | PMP_W | PMP_X;
    struct range access = bytes(gpa, size);
    for (unsigned i = 0; i < PMP_COUNT; i++) {
        struct range entry = entry_range(sys, i);
        if (!overlap(entry, access))
            continue;
        if (!covers(entry, access))
            return 0;
        return mode == PRIV_M && !(sys->pmpcfg[i] & PMP_L) ? all : sys->pmpcfg[i] & all;
    }
    return mode == PRIV_M ? all : 0;
}

/* Entries before the one that covers everything touch nothing of it. */
bool pmp_is_uniform(const struct hart_sys *sys, uint64_t gpa, uint64_t size)
{
    struct range access = bytes(gpa, size);
    for (unsigned i = 0; i < PMP_COUNT; i++) {
        struct range entry = entry_range(sys, i);
        if (overlap(entry, access))
            return covers(entry, access);
    }
    return true;
}

uint64_t pmp_read_cfg(const struct hart_sys *sys, unsigned index)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)sys->pmpcfg[8 * index + i] << 8 * i;
    return value;
}

/* The combinations of W without R are reserved: such an entry permits no writing. */
static uint8_t legal_cfg(uint8_t cfg)
{
    cfg &= PMP_L | PMP_A | PMP_X | PMP_W | PMP_R;
    return cfg & PMP_R ? cfg : (uint8_t)(cfg & ~PMP_W);
}

void pmp_write_cfg(struct hart_sys *sys, unsigned index, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *cfg = &sys->pmpcfg[8 * index + i];
        if (!(*cfg & PMP_L))
            *cfg = legal_cfg((uint8_t)(value >> 8 * i));
    }
}

/* The address of a locked entry, or the lower bound of one. */
static bool address_is_locked(const struct hart_sys *sys, unsigned i)
{
    const uint8_t tor = PMP_L | PMP_A_TOR;
    return sys->pmpcfg[i] & PMP_L || (i + 1 < PMP_COUNT && (sys->pmpcfg[i + 1] & (PMP_L | PMP_A)) == tor);
}

void pmp_write_address(struct hart_sys *sys, unsigned index, uint64_t value)
{
    if (!address_is_locked(sys, index))
        sys->pmpaddr[index] = value & PMPADDR_BITS;
}
