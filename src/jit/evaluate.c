/* What operations mean that are computed outside host code, written plainly. */
#include "jit/ir.h"

static int64_t narrow(enum ir_type type, uint64_t value)
{
    return type == IR_I32 ? (int64_t)(int32_t)value : (int64_t)value;
}

static uint64_t rotate_right(uint64_t value, unsigned count, unsigned bits)
{
    return count ? value >> count | value << (bits - count) : value;
}

static uint64_t high_product(enum ir_op op, int64_t a, int64_t b)
{
    if (op == IR_MULH)
        return (uint64_t)(((__int128)a * b) >> 64);
    uint64_t product = (uint64_t)(((unsigned __int128)(uint64_t)a * (uint64_t)b) >> 64);
    return op == IR_MULHSU && a < 0 ? product - (uint64_t)b : product;
}

static uint64_t divide(enum ir_op op, int64_t a, int64_t b, uint64_t ua, uint64_t ub)
{
    switch (op) {
    case IR_DIV: return b == 0 ? UINT64_MAX : b == -1 ? -(uint64_t)a : (uint64_t)(a / b);
    case IR_DIVU: return ub == 0 ? UINT64_MAX : ua / ub;
    case IR_REM: return b == 0 ? (uint64_t)a : b == -1 ? 0 : (uint64_t)(a % b);
    default: return ub == 0 ? ua : ua % ub;
    }
}

static bool compare(enum ir_op op, int64_t a, int64_t b)
{
    switch (op) {
    case IR_EQ: return a == b;
    case IR_NE: return a != b;
    case IR_LT: return a < b;
    case IR_GE: return a >= b;
    case IR_LTU: return (uint64_t)a < (uint64_t)b;
    default: return (uint64_t)a >= (uint64_t)b;
    }
}

bool ir_evaluate(enum ir_op op, enum ir_type type, int64_t a, int64_t b, int64_t *result)
{
    unsigned bits = type == IR_I32 ? 32 : 64;
    unsigned count = (unsigned)b & (bits - 1);
    int64_t sa = narrow(type, (uint64_t)a), sb = narrow(type, (uint64_t)b);
    uint64_t ua = type == IR_I32 ? (uint32_t)a : (uint64_t)a;
    uint64_t ub = type == IR_I32 ? (uint32_t)b : (uint64_t)b;
    uint64_t r;
    switch (op) {
    case IR_ADD: r = ua + ub; break;
    case IR_SUB: r = ua - ub; break;
    case IR_MUL: r = ua * ub; break;
    case IR_AND: r = ua & ub; break;
    case IR_OR: r = ua | ub; break;
    case IR_XOR: r = ua ^ ub; break;
    case IR_SHL: r = ua << count; break;
    case IR_SHR: r = ua >> count; break;
    case IR_SAR: r = (uint64_t)(sa >> count); break;
    case IR_ROR: r = rotate_right(ua, count, bits); break;
    case IR_MULH:
    case IR_MULHU:
    case IR_MULHSU:
        if (type != IR_I64)
            return false;
        r = high_product(op, a, b);
        break;
    case IR_DIV:
    case IR_DIVU:
    case IR_REM:
    case IR_REMU: r = divide(op, sa, sb, ua, ub); break;
    case IR_CLZ: r = ua ? (unsigned)__builtin_clzll(ua) - (64 - bits) : bits; break;
    case IR_CTZ: r = ua ? (unsigned)__builtin_ctzll(ua) : bits; break;
    case IR_POPCNT: r = (unsigned)__builtin_popcountll(ua); break;
    case IR_BSWAP: r = __builtin_bswap64(ua) >> (64 - bits); break;
    case IR_SEXT8: *result = (int8_t)a; return true;
    case IR_SEXT16: *result = (int16_t)a; return true;
    case IR_SEXT32: *result = (int32_t)a; return true;
    case IR_ZEXT8: *result = (uint8_t)a; return true;
    case IR_ZEXT16: *result = (uint16_t)a; return true;
    case IR_ZEXT32: *result = (uint32_t)a; return true;
    case IR_EQ:
    case IR_NE:
    case IR_LT:
    case IR_GE:
    case IR_LTU:
    case IR_GEU: r = compare(op, sa, sb); break;
    default: return false;
    }
    *result = narrow(type, r);
    return true;
}

uint64_t ir_canonical(enum ir_type type, uint64_t bits)
{
    if (type == IR_F32)
        return IR_BOXED | ((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits);
    return (bits & ~(UINT64_C(1) << 63)) > UINT64_C(0x7ff0000000000000) ? UINT64_C(0x7ff8000000000000) : bits;
}

unsigned ir_access_size(enum ir_op op, enum ir_type type)
{
    switch (op) {
    case IR_LDS8:
    case IR_LDU8:
    case IR_ST8: return 1;
    case IR_LDS16:
    case IR_LDU16:
    case IR_ST16: return 2;
    case IR_LDS32:
    case IR_LDU32:
    case IR_ST32: return 4;
    case IR_LD64:
    case IR_ST64: return 8;
    case IR_ZERO: return IR_ZERO_BYTES;
    default: return type == IR_I32 || type == IR_F32 ? 4 : 8;
    }
}

uint64_t ir_loaded(enum ir_op op, uint64_t bytes)
{
    switch (op) {
    case IR_LDS8: return (uint64_t)(int8_t)bytes;
    case IR_LDS16: return (uint64_t)(int16_t)bytes;
    case IR_LDS32: return (uint64_t)(int32_t)bytes;
    default: return bytes;
    }
}
