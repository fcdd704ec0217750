#include "cpu/riscv/hart.h"

#include "base/error.h"
#include "cpu/riscv/engine.h"
#include "cpu/riscv/unit.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int hart_init(struct hart *hart, struct code *code, uint64_t mem_base, uint64_t mem_limit,
              struct guise_error *err)
{
    memset(hart, 0, offsetof(struct hart, jit));
    hart->code = code;
    hart->mem_base = mem_base;
    hart->mem_limit = mem_limit;
    hart->reserve_address = HART_NO_RESERVE;
    hart->jumps = calloc(JUMP_COUNT, sizeof(hart->jumps[0]));
    bool translates = code_engine(code)->kind != ENGINE_INTERP;
    if (!hart->jumps || (translates && host_guest_thread_map(&hart->host))) {
        free(hart->jumps);
        return error_set(err, GUISE_E_NOMEM, "no memory for a hart's stacks and jump cache");
    }
    jump_clear(hart->jumps);
    code_add_hart(code, hart);
    return 0;
}

void hart_release(struct hart *hart)
{
    code_remove_hart(hart->code, hart);
    host_guest_thread_unmap(&hart->host);
    free(hart->lockstep);
    free(hart->step);
    free(hart->jumps);
}

void hart_copy_state(struct hart *hart, const struct hart *from)
{
    memcpy(hart->x, from->x, sizeof(hart->x));
    memcpy(hart->f, from->f, sizeof(hart->f));
    hart->pc = from->pc;
    hart->frm = from->frm;
    hart->host_rm = from->host_rm;
    hart->fflags = hart_fcsr(from) & 0x1f;
}
