/* RISC-V's own system calls, and keys. */
#include "cpu/riscv/code.h"
#include "isa/riscv/isa.h"
#include "process/serve.h"

#include <sched.h>
#include <string.h>

/* ---- riscv_hwprobe ----
 * Source: linux/Documentation/arch/riscv/hwprobe.rst, version 6.12. */

enum {
    KEY_MVENDORID,
    KEY_MARCHID,
    KEY_MIMPID,
    KEY_BASE_BEHAVIOR,
    KEY_IMA_EXT_0,
    KEY_CPUPERF_0,
    KEY_ZICBOZ_BLOCK_SIZE,
    KEY_HIGHEST_VIRT_ADDRESS,
    KEY_TIME_CSR_FREQ,
    KEY_MISALIGNED_SCALAR_PERF,
    KEY_COUNT,
};

#define BASE_BEHAVIOR_IMA  1
#define MISALIGNED_FAST    3
#define ZICBOZ_BLOCK       64
#define HWPROBE_WHICH_CPUS 1
#define EXT0_FD            ((uint64_t)1 << 0)

struct probe {
    int64_t key;
    uint64_t value;
};

static const struct {
    uint8_t ext, bit;
} ext0_bits[] = {
    {RV_EXT_C, 1},      {RV_EXT_ZBA, 3},    {RV_EXT_ZBB, 4},     {RV_EXT_ZBS, 5},
    {RV_EXT_ZICBOZ, 6}, {RV_EXT_ZBC, 7},    {RV_EXT_ZFHMIN, 28}, {RV_EXT_ZIHINTNTL, 29},
    {RV_EXT_ZFA, 32},   {RV_EXT_ZACAS, 34}, {RV_EXT_ZICOND, 35}, {RV_EXT_ZIHINTPAUSE, 36},
    {RV_EXT_ZIMOP, 42}, {RV_EXT_C, 43},     {RV_EXT_ZCB, 44},    {RV_EXT_ZCMOP, 47},
    {RV_EXT_ZAWRS, 48},
};

#define EXT0_ZCD 45 /* compressed loads and stores of doubles: C and D together */

static bool has(uint64_t extensions, unsigned ext)
{
    return extensions >> ext & 1;
}

static uint64_t ext0_value(uint64_t extensions)
{
    uint64_t value = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ext0_bits); i++)
        if (has(extensions, ext0_bits[i].ext))
            value |= (uint64_t)1 << ext0_bits[i].bit;
    if (has(extensions, RV_EXT_F) && has(extensions, RV_EXT_D))
        value |= EXT0_FD;
    if (has(extensions, RV_EXT_C) && has(extensions, RV_EXT_D))
        value |= (uint64_t)1 << EXT0_ZCD;
    return value;
}

static uint64_t probe_value(const struct thread *t, int64_t key)
{
    uint64_t extensions = t->process->config->extensions;
    switch (key) {
    case KEY_BASE_BEHAVIOR: return BASE_BEHAVIOR_IMA;
    case KEY_IMA_EXT_0: return ext0_value(extensions);
    case KEY_CPUPERF_0:
    case KEY_MISALIGNED_SCALAR_PERF: return MISALIGNED_FAST;
    case KEY_ZICBOZ_BLOCK_SIZE: return has(extensions, RV_EXT_ZICBOZ) ? ZICBOZ_BLOCK : 0;
    case KEY_HIGHEST_VIRT_ADDRESS: return t->hart.mem_limit - 1;
    case KEY_TIME_CSR_FREQ: return HART_TIME_HZ;
    default: return 0;
    }
}

static bool key_is_known(int64_t key)
{
    return key >= 0 && key < KEY_COUNT;
}

static void answer_probe(const struct thread *t, struct probe *probe)
{
    if (key_is_known(probe->key))
        probe->value = probe_value(t, probe->key);
    else
        *probe = (struct probe){-1, 0};
}

static bool key_is_bits(int64_t key)
{
    return key == KEY_BASE_BEHAVIOR || key == KEY_IMA_EXT_0 || key == KEY_CPUPERF_0;
}

/* Would every CPU (they are all alike) answer like this? */
static bool probe_matches(const struct thread *t, const struct probe *probe)
{
    if (!key_is_known(probe->key))
        return false;
    uint64_t value = probe_value(t, probe->key);
    return key_is_bits(probe->key) ? (value & probe->value) == probe->value : value == probe->value;
}

#define CPU_BYTES sizeof(cpu_set_t)

/* Reads the caller's set and cuts it to the CPUs that there are. Returns 0 or -errno. */
static int cpus_from_guest(const struct thread *t, uint64_t gva, uint64_t size, cpu_set_t *cpus)
{
    cpu_set_t online;
    memset(cpus, 0, CPU_BYTES);
    memset(&online, 0, CPU_BYTES);
    if (copy_from_guest(t, cpus, gva, MIN(size, CPU_BYTES)))
        return -EFAULT;
    if (host_call_now(SYS_sched_getaffinity, 0, CPU_BYTES, &online) < 0)
        return 0;
    CPU_AND(cpus, cpus, &online);
    return 0;
}

/* Answers every pair. */
static int64_t probe_values(const struct thread *t, const struct sysargs *args)
{
    uint64_t pairs = args->a[0], count = args->a[1], cpus_size = args->a[2];
    cpu_set_t cpus;
    if (cpus_size || args->a[3]) {
        int error = cpus_from_guest(t, args->a[3], cpus_size, &cpus);
        if (error)
            return error;
        if (!CPU_COUNT(&cpus))
            return -EINVAL;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct probe probe;
        if (copy_from_guest(t, &probe, pairs + i * sizeof probe, sizeof probe))
            return -EFAULT;
        answer_probe(t, &probe);
        if (copy_to_guest(t, pairs + i * sizeof probe, &probe, sizeof probe))
            return -EFAULT;
    }
    return 0;
}

/* Which CPUs of the set (all when it is empty) answer like the pairs? Unknown keys become -1. */
static int64_t probe_cpus(const struct thread *t, const struct sysargs *args)
{
    uint64_t pairs = args->a[0], count = args->a[1], cpus_size = args->a[2];
    cpu_set_t cpus;
    if (!cpus_size || !args->a[3])
        return -EINVAL;
    int error = cpus_from_guest(t, args->a[3], cpus_size, &cpus);
    if (error)
        return error;
    if (!CPU_COUNT(&cpus))
        host_call_now(SYS_sched_getaffinity, 0, CPU_BYTES, &cpus);
    for (uint64_t i = 0; i < count; i++) {
        struct probe probe;
        if (copy_from_guest(t, &probe, pairs + i * sizeof probe, sizeof probe))
            return -EFAULT;
        if (probe_matches(t, &probe))
            continue;
        memset(&cpus, 0, CPU_BYTES);
        if (key_is_known(probe.key))
            continue;
        probe = (struct probe){-1, 0};
        if (copy_to_guest(t, pairs + i * sizeof probe, &probe, sizeof probe))
            return -EFAULT;
    }
    return copy_to_guest(t, args->a[3], &cpus, MIN(cpus_size, CPU_BYTES));
}

int64_t call_riscv_hwprobe(struct thread *t, const struct sysargs *args)
{
    if (args->a[1] > t->hart.mem_limit / sizeof(struct probe))
        return -EFAULT;
    switch ((uint32_t)args->a[4]) {
    case 0: return probe_values(t, args);
    case HWPROBE_WHICH_CPUS: return probe_cpus(t, args);
    default: return -EINVAL;
    }
}

/* ---- riscv_flush_icache ---- */

#define FLUSH_ICACHE_LOCAL 1

int64_t call_riscv_flush_icache(struct thread *t, const struct sysargs *args)
{
    uint64_t start = args->a[0], end = MIN(args->a[1], t->hart.mem_limit);
    if (args->a[2] & ~(uint64_t)FLUSH_ICACHE_LOCAL)
        return -EINVAL;
    /* Linux ignores the range: every change is seen, in the range also one that was made through another mapping. */
    code_flush(t->process->code, start, end);
    return 0;
}

/* ---- Keys ---- */

/* keyctl(): which of the arguments 2 to 5 of an operation are pointers, bit 0 for argument 2. */
static const uint8_t keyctl_pointers[] = {
    [1] = 1 << 0,                             /* JOIN_SESSION_KEYRING */
    [2] = 1 << 1,                             /* UPDATE */
    [6] = 1 << 1,                             /* DESCRIBE */
    [10] = 1 << 1 | 1 << 2,                   /* SEARCH */
    [11] = 1 << 1,                            /* READ */
    [12] = 1 << 1,                            /* INSTANTIATE */
    [17] = 1 << 1,                            /* GET_SECURITY */
    [23] = 1 << 0 | 1 << 1 | 1 << 3,          /* DH_COMPUTE */
    [24] = 1 << 2 | 1 << 3,                   /* PKEY_QUERY */
    [25] = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3, /* PKEY_ENCRYPT, DECRYPT, SIGN, VERIFY */
    [26] = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3,
    [27] = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3,
    [28] = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3,
    [29] = 1 << 1 | 1 << 2, /* RESTRICT_KEYRING */
    [31] = 1 << 0,          /* CAPABILITIES */
    [32] = 0,               /* WATCH_KEY, the last */
};

/* A key has no more bytes: keyrings(7), "big_key". */
enum { MOST_OF_KEY = 1 << 20 };

enum { KEYCTL_OP_INSTANTIATE_IOV = 20, KEYCTL_OP_DH_COMPUTE = 23 };

static int64_t instantiate_from_vector(struct thread *t, const struct sysargs *args)
{
    struct iovec vector[VECTOR_MAX];
    int error = vector_from_guest(t, args->a[2], args->a[3], vector);
    if (error)
        return error;
    return host_call(t, SYS_keyctl, args->a[0], args->a[1], vector, args->a[3], args->a[4]);
}

int64_t call_keyctl(struct thread *t, const struct sysargs *args)
{
    uint32_t operation = (uint32_t)args->a[0];
    struct sysargs host = *args;
    if (operation >= ARRAY_SIZE(keyctl_pointers))
        return -EOPNOTSUPP;
    if (operation == KEYCTL_OP_INSTANTIATE_IOV)
        return instantiate_from_vector(t, args);
    if (operation == KEYCTL_OP_DH_COMPUTE && args->a[4]) /* a key derivation: a structure with pointers */
        return -EOPNOTSUPP;
    for (unsigned mask = keyctl_pointers[operation]; mask; mask &= mask - 1) {
        int i = __builtin_ctz(mask) + 1;
        host.a[i] = (uint64_t)guest_pointer_up_to(t, args->a[i], MOST_OF_KEY);
    }
    return host_call(t, SYS_keyctl, host.a[0], host.a[1], host.a[2], host.a[3], host.a[4]);
}
