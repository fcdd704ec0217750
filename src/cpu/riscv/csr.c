#include "cpu/riscv/csr.h"

#include "isa/riscv/isa.h"

#include <time.h>

static uint64_t host_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * HART_TIME_HZ + (uint64_t)now.tv_nsec;
}

bool csr_read(struct hart *hart, unsigned number, uint64_t retired, uint64_t *value)
{
    switch (number) {
    case RV_CSR_FFLAGS: *value = hart_fcsr(hart) & 0x1f; return true;
    case RV_CSR_FRM: *value = hart->frm; return true;
    case RV_CSR_FCSR: *value = hart_fcsr(hart); return true;
    case RV_CSR_CYCLE: /* one cycle an instruction, or a nanosecond where instructions are not counted */
    case RV_CSR_INSTRET: *value = hart_translates(hart) ? host_time() : retired; return true;
    case RV_CSR_TIME: *value = host_time(); return true;
    default: return false;
    }
}

bool csr_write(struct hart *hart, unsigned number, uint64_t value)
{
    switch (number) {
    case RV_CSR_FFLAGS: hart_set_fcsr(hart, hart->frm << 5 | ((uint32_t)value & 0x1f)); return true;
    case RV_CSR_FRM: hart_set_fcsr(hart, (hart_fcsr(hart) & 0x1f) | ((uint32_t)value & 7) << 5); return true;
    case RV_CSR_FCSR: hart_set_fcsr(hart, (uint32_t)value & 0xff); return true;
    default: return false;
    }
}
