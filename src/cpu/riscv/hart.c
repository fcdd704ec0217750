#include "cpu/riscv/hart.h"

#include "base/error.h"
#include "cpu/riscv/unit.h"

#include <stdlib.h>
#include <string.h>

int hart_init(struct hart *hart, struct code *code, uint64_t mem_base, uint64_t mem_limit,
              struct guise_error *err)
{
    *hart = (struct hart){
        .code = code, .mem_base = mem_base, .mem_limit = mem_limit, .reserve_address = HART_NO_RESERVE};
    hart->jumps = calloc(JUMP_COUNT, sizeof(hart->jumps[0]));
    if (!hart->jumps)
        return error_set(err, GUISE_E_NOMEM, "no memory for a hart's jump cache");
    jump_clear(hart->jumps);
    code_add_hart(code, hart);
    return 0;
}

void hart_release(struct hart *hart)
{
    code_remove_hart(hart->code, hart);
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
