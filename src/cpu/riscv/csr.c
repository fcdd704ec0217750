#include "cpu/riscv/csr.h"

#include <time.h>

enum {
    CSR_FFLAGS = 0x001,
    CSR_FRM = 0x002,
    CSR_FCSR = 0x003,
    CSR_CYCLE = 0xc00,
    CSR_TIME = 0xc01,
    CSR_INSTRET = 0xc02
};

static uint64_t host_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * HART_TIME_HZ + (uint64_t)now.tv_nsec;
}

bool csr_read(struct hart *hart, unsigned number, uint64_t retired, uint64_t *value)
{
    switch (number) {
    case CSR_FFLAGS: *value = hart_fcsr(hart) & 0x1f; return true;
    case CSR_FRM: *value = hart->frm; return true;
    case CSR_FCSR: *value = hart_fcsr(hart); return true;
    case CSR_CYCLE: /* one cycle an instruction */
    case CSR_INSTRET: *value = retired; return true;
    case CSR_TIME: *value = host_time(); return true;
    default: return false;
    }
}

bool csr_write(struct hart *hart, unsigned number, uint64_t value)
{
    switch (number) {
    case CSR_FFLAGS: hart_set_fcsr(hart, hart->frm << 5 | ((uint32_t)value & 0x1f)); return true;
    case CSR_FRM: hart_set_fcsr(hart, (hart_fcsr(hart) & 0x1f) | ((uint32_t)value & 7) << 5); return true;
    case CSR_FCSR: hart_set_fcsr(hart, (uint32_t)value & 0xff); return true;
    default: return false;
    }
}
