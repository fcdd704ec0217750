#include "cpu/riscv/sys_internal.h"

#include <string.h>

void sys_init(struct hart_sys *sys, const struct sys_ops *ops, const struct sys_config *config)
{
    memset(sys, 0, sizeof(*sys));
    sys->ops = ops;
    sys->config = *config;
    sys_reset(sys);
}

void sys_connect_files(struct hart_sys *sys, struct interrupt_file *machine,
                       struct interrupt_file *supervisor)
{
    sys->aia[SYS_MACHINE].file = machine;
    sys->aia[SYS_SUPERVISOR].file = supervisor;
}

/* The manual leaves most of this open; zero is as good as any value. */
void sys_reset(struct hart_sys *sys)
{
    const struct sys_ops *ops = sys->ops;
    const struct sys_config config = sys->config;
    struct interrupt_file *machine = sys->aia[SYS_MACHINE].file, *supervisor = sys->aia[SYS_SUPERVISOR].file;
    uint64_t lines = atomic_load(&sys->lines);
    memset(sys, 0, sizeof(*sys));
    sys->ops = ops;
    sys->config = config;
    sys_connect_files(sys, machine, supervisor);
    sys->mode = PRIV_M;
    sys->stimecmp = UINT64_MAX;
    atomic_store(&sys->lines, lines);
    counters_reset(sys);
}
