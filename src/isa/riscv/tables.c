/* The tables made from riscv.isa, and questions about rows that need nothing else. */
#include "isa/riscv/tables.h"
#include "isa/riscv/isa.h"

#include "rv_tables.inc"

_Static_assert(sizeof(struct rv_shape) == 64, "tables.h says so");
_Static_assert(RV_EXT_COUNT <= 64, "sets of extensions are 64-bit words");

static const struct rv_row *row_of(unsigned op)
{
    return &rv_rows[op < RV_ROW_COUNT ? op : RV_INVALID];
}

const char *rv_op_name(unsigned op)
{
    return row_of(op)->name;
}

unsigned rv_op_flags(unsigned op)
{
    return row_of(op)->flags;
}

enum rv_ext rv_op_ext(unsigned op)
{
    return (enum rv_ext)row_of(op)->ext;
}

const char *rv_ext_name(enum rv_ext ext)
{
    return (unsigned)ext < RV_EXT_COUNT ? rv_ext_names[ext] : "unknown";
}
