#include "cpu/riscv/hart.h"
#include "cpu/riscv/lift_row.h"
#include "cpu/riscv/system.h"

#include <assert.h>

/* X(slot, register, name). Pinned ones first, the most used first: integer registers as weighed by execution; of the others,
 * those that compilers take first, and the first that survive calls. */
/* clang-format off */
#define PINNED_X(X) \
    X(0, 15, "a5") X(1, 14, "a4") X(2, 2, "sp") X(3, 13, "a3") \
    X(4, 8, "s0") X(5, 10, "a0") X(6, 12, "a2") X(7, 9, "s1") \
    X(8, 11, "a1") X(9, 1, "ra")
#define PINNED_F(X) \
    X(10, 15, "fa5") X(11, 14, "fa4") X(12, 10, "fa0") X(13, 13, "fa3") \
    X(14, 11, "fa1") X(15, 12, "fa2") X(16, 0, "ft0") X(17, 1, "ft1") \
    X(18, 2, "ft2") X(19, 3, "ft3") X(20, 4, "ft4") X(21, 8, "fs0") \
    X(22, 9, "fs1")
#define OTHER_X(X) \
    X(23, 3, "gp") X(24, 4, "tp") X(25, 5, "t0") X(26, 6, "t1") \
    X(27, 7, "t2") X(28, 16, "a6") X(29, 17, "a7") X(30, 18, "s2") \
    X(31, 19, "s3") X(32, 20, "s4") X(33, 21, "s5") X(34, 22, "s6") \
    X(35, 23, "s7") X(36, 24, "s8") X(37, 25, "s9") X(38, 26, "s10") \
    X(39, 27, "s11") X(40, 28, "t3") X(41, 29, "t4") X(42, 30, "t5") \
    X(43, 31, "t6")
#define OTHER_F(X) \
    X(44, 5, "ft5") X(45, 6, "ft6") X(46, 7, "ft7") X(47, 16, "fa6") \
    X(48, 17, "fa7") X(49, 18, "fs2") X(50, 19, "fs3") X(51, 20, "fs4") \
    X(52, 21, "fs5") X(53, 22, "fs6") X(54, 23, "fs7") X(55, 24, "fs8") \
    X(56, 25, "fs9") X(57, 26, "fs10") X(58, 27, "fs11") X(59, 28, "ft8") \
    X(60, 29, "ft9") X(61, 30, "ft10") X(62, 31, "ft11")
/* clang-format on */

enum { PINNED_X_COUNT = 10, PINNED_COUNT = 23 };

#define SLOT_PINNED_X(slot, number, text) [slot] = {text, LIFT_OFFSET(x[number]), IR_I64, (slot) + 1},
#define SLOT_PINNED_F(slot, number, text) \
    [slot] = {text, LIFT_OFFSET(f[number]), IR_F64, (slot)-PINNED_X_COUNT + 1},
#define SLOT_X(slot, number, text) [slot] = {text, LIFT_OFFSET(x[number]), IR_I64, 0},
#define SLOT_F(slot, number, text) [slot] = {text, LIFT_OFFSET(f[number]), IR_F64, 0},
#define SYSTEM_OFFSET(member) \
    ((int32_t)offsetof(struct system_hart, member) - (int32_t)offsetof(struct system_hart, hart.x[LIFT_BIAS]))
/* clang-format off */
static const struct ir_slot slots[LIFT_SLOT_COUNT] = {
    PINNED_X(SLOT_PINNED_X)
    PINNED_F(SLOT_PINNED_F)
    OTHER_X(SLOT_X)
    OTHER_F(SLOT_F)
    [LIFT_RESERVE_ADDRESS] = {"reserve_address", LIFT_OFFSET(reserve_address), IR_I64, 0},
    [LIFT_RESERVE_VALUE] = {"reserve_value", LIFT_OFFSET(reserve_value), IR_I64, 0},
    [LIFT_ROUNDING] = {"rounding", LIFT_OFFSET(frm), IR_I64, 0},
    [LIFT_FLAGS] = {"flags", LIFT_OFFSET(fflags), IR_I64, 0},
    [LIFT_CODE_BIAS] = {"bias", LIFT_OFFSET(bias), IR_I64, 0},
    [LIFT_WINDOW_LIMIT] = {"window", LIFT_OFFSET(window_limit), IR_I64, 0},
    [LIFT_STATUS] = {"status", SYSTEM_OFFSET(sys.mstatus), IR_I64, 0},
    [LIFT_MODE] = {"mode", SYSTEM_OFFSET(sys.mode), IR_I64, 0},
    [LIFT_MENVCFG] = {"menvcfg", SYSTEM_OFFSET(sys.menvcfg), IR_I64, 0},
    [LIFT_SENVCFG] = {"senvcfg", SYSTEM_OFFSET(sys.senvcfg), IR_I64, 0},
    [LIFT_SSCRATCH] = {"sscratch", SYSTEM_OFFSET(sys.sscratch), IR_I64, 0},
    [LIFT_SEPC] = {"sepc", SYSTEM_OFFSET(sys.sepc), IR_I64, 0},
    [LIFT_SCAUSE] = {"scause", SYSTEM_OFFSET(sys.scause), IR_I64, 0},
    [LIFT_STVAL] = {"stval", SYSTEM_OFFSET(sys.stval), IR_I64, 0},
    [LIFT_MIP] = {"mip", SYSTEM_OFFSET(sys.mip), IR_I64, 0},
    [LIFT_LINES] = {"lines", SYSTEM_OFFSET(sys.lines), IR_I64, 0},
    [LIFT_MIE] = {"mie", SYSTEM_OFFSET(sys.mie), IR_I64, 0},
    [LIFT_TIMER] = {"timer", SYSTEM_OFFSET(sys.timer), IR_I64, 0},
    [LIFT_MVIEN] = {"mvien", SYSTEM_OFFSET(sys.mvien), IR_I64, 0},
};
/* clang-format on */
static_assert((int)LIFT_SLOT_COUNT <= (int)IR_MAX_SLOTS, "the IR has a number for every slot");
static_assert(LIFT_OFFSET(x[4]) >= INT8_MIN && LIFT_OFFSET(pending) <= INT8_MAX &&
                  LIFT_OFFSET(bias) <= INT8_MAX && LIFT_OFFSET(window_limit) <= INT8_MAX,
              "what translated code uses most is near");
static_assert(offsetof(struct hart, frm) % 8 == 0, "frm is in the low half of its slot");
static_assert(offsetof(struct hart, fflags) % 8 == 0 &&
                  offsetof(struct hart, fflags_upper) == offsetof(struct hart, fflags) + 4,
              "the flags are a slot");

const struct ir_machine lift_machine = {slots, LIFT_SLOT_COUNT, PINNED_COUNT};

#define NUMBER_TO_SLOT(slot, number, text) [number] = (slot),
const uint8_t lift_x_slot[32] = {PINNED_X(NUMBER_TO_SLOT) OTHER_X(NUMBER_TO_SLOT)};
const uint8_t lift_f_slot[32] = {PINNED_F(NUMBER_TO_SLOT) OTHER_F(NUMBER_TO_SLOT)};
