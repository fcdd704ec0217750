/* unpack -> exact or sticky 128-bit arithmetic -> round and pack.
 *
 * In between, a finite number is +-significand * 2^(exponent - 127) with 128 bits of significand. It is normalized: bit
 * 127 is set, or all bits are clear for zero. Bit 0 is sticky: it also stands for all that was lost below it. The widest
 * exact need, the product of two doubles, leaves 22 bits, so that the sticky bit is always well below where rounding
 * happens, after a cancellation too. */
#include "cpu/riscv/softfp.h"

#include <stddef.h>

typedef unsigned __int128 u128;

const struct softfp_format softfp_h = {.exponent_bits = 5, .fraction_bits = 10};
const struct softfp_format softfp_s = {.exponent_bits = 8, .fraction_bits = 23};
const struct softfp_format softfp_d = {.exponent_bits = 11, .fraction_bits = 52};

struct number {
    enum { FINITE, INFINITE, QUIET, SIGNALING } kind;
    bool sign;
    int exponent;
    u128 significand;
};

static int bias(const struct softfp_format *format)
{
    return (1 << (format->exponent_bits - 1)) - 1;
}

static int smallest_exponent(const struct softfp_format *format)
{
    return 1 - bias(format);
}

static uint64_t sign_bit(const struct softfp_format *format, bool sign)
{
    return (uint64_t)sign << (format->exponent_bits + format->fraction_bits);
}

static uint64_t infinity(const struct softfp_format *format, bool sign)
{
    return sign_bit(format, sign) | ((UINT64_C(1) << format->exponent_bits) - 1) << format->fraction_bits;
}

static uint64_t quiet_bit(const struct softfp_format *format)
{
    return UINT64_C(1) << (format->fraction_bits - 1);
}

static uint64_t canonical_nan(const struct softfp_format *format)
{
    return infinity(format, false) | quiet_bit(format);
}

static uint64_t invalid(const struct softfp_format *format, uint32_t *flags)
{
    *flags |= SOFTFP_NV;
    return canonical_nan(format);
}

static u128 shift_right_sticky(u128 value, unsigned count)
{
    if (count == 0)
        return value;
    if (count > 127)
        return value != 0;
    return value >> count | (value << (128 - count) != 0);
}

static struct number normalize(struct number n)
{
    uint64_t high = (uint64_t)(n.significand >> 64), low = (uint64_t)n.significand;
    if (n.significand == 0)
        return n;
    int shift = high ? __builtin_clzll(high) : 64 + __builtin_clzll(low);
    n.significand <<= shift;
    n.exponent -= shift;
    return n;
}

static struct number unpack(const struct softfp_format *format, uint64_t bits)
{
    uint64_t fraction = bits & ((UINT64_C(1) << format->fraction_bits) - 1);
    int top = (1 << format->exponent_bits) - 1;
    int biased = (int)(bits >> format->fraction_bits) & top;
    struct number n = {.kind = FINITE, .sign = (bits & sign_bit(format, true)) != 0};
    if (biased == top) {
        n.kind = fraction == 0 ? INFINITE : fraction & quiet_bit(format) ? QUIET : SIGNALING;
        return n;
    }
    if (biased == 0)
        biased = 1;
    else
        fraction |= UINT64_C(1) << format->fraction_bits;
    n.exponent = biased - bias(format);
    n.significand = (u128)fraction << (127 - format->fraction_bits);
    return normalize(n);
}

static bool is_nan(const struct number *n)
{
    return n->kind >= QUIET;
}

static bool is_zero(const struct number *n)
{
    return n->kind == FINITE && n->significand == 0;
}

/* The result when an operand is NaN. */
static uint64_t nan_result(const struct softfp_format *format, const struct number *operands, size_t count,
                           uint32_t *flags)
{
    for (size_t i = 0; i < count; i++)
        if (operands[i].kind == SIGNALING)
            return invalid(format, flags);
    return canonical_nan(format);
}

/* Drops the low `count` (1 to 127) bits of a magnitude. */
static u128 round_off(u128 value, unsigned count, unsigned rm, bool sign, bool *inexact)
{
    u128 kept = value >> count, lost = value << (128 - count), half = (u128)1 << 127;
    bool up = false;
    switch (rm) {
    case SOFTFP_RNE: up = lost > half || (lost == half && (kept & 1)); break;
    case SOFTFP_RTZ: break;
    case SOFTFP_RDN: up = sign && lost; break;
    case SOFTFP_RUP: up = !sign && lost; break;
    case SOFTFP_RMM: up = lost >= half; break;
    }
    *inexact = lost != 0;
    return kept + up;
}

static uint64_t overflow(const struct softfp_format *format, unsigned rm, bool sign, uint32_t *flags)
{
    bool away = rm == SOFTFP_RNE || rm == SOFTFP_RMM || rm == (sign ? SOFTFP_RDN : SOFTFP_RUP);
    *flags |= SOFTFP_OF | SOFTFP_NX;
    return infinity(format, sign) - !away;
}

static uint64_t round_and_pack(const struct softfp_format *format, unsigned rm, struct number n,
                               uint32_t *flags)
{
    unsigned drop = 127 - format->fraction_bits;
    int below = smallest_exponent(format) - n.exponent;
    bool tiny = below > 0, inexact;
    if (is_zero(&n))
        return sign_bit(format, n.sign);
    if (n.exponent > bias(format))
        return overflow(format, rm, n.sign, flags);
    if (tiny) {
        /* Not tiny if, with as many exponents as one likes, it were rounded up to the smallest normal number. */
        u128 unbounded = round_off(n.significand, drop, rm, n.sign, &inexact);
        tiny = below > 1 || unbounded >> (format->fraction_bits + 1) == 0;
        n.significand = shift_right_sticky(n.significand, (unsigned)below);
        n.exponent = smallest_exponent(format);
    }
    /* The leading one, where there is one, adds 1 to the exponent field, and so does a carry of the rounding. */
    uint64_t fraction = (uint64_t)round_off(n.significand, drop, rm, n.sign, &inexact);
    uint64_t magnitude =
        ((uint64_t)(n.exponent - smallest_exponent(format)) << format->fraction_bits) + fraction;
    if (magnitude >= infinity(format, false))
        return overflow(format, rm, n.sign, flags);
    if (inexact)
        *flags |= tiny ? SOFTFP_UF | SOFTFP_NX : SOFTFP_NX;
    return sign_bit(format, n.sign) | magnitude;
}

static struct number add_finite(struct number a, struct number b, unsigned rm)
{
    if (is_zero(&a) || is_zero(&b)) {
        struct number *sum = is_zero(&a) ? &b : &a;
        if (is_zero(sum) && a.sign != b.sign)
            sum->sign = rm == SOFTFP_RDN;
        return *sum;
    }
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)) {
        struct number smaller = a;
        a = b;
        b = smaller;
    }
    /* One bit of room for the carry: both have zeros at the low end. */
    unsigned distance = (unsigned)(a.exponent - b.exponent);
    u128 larger = a.significand >> 1, addend = shift_right_sticky(b.significand, distance + 1);
    a.exponent++;
    a.significand = a.sign == b.sign ? larger + addend : larger - addend;
    if (a.significand == 0)
        a.sign = rm == SOFTFP_RDN;
    return normalize(a);
}

static struct number multiply_finite(struct number a, struct number b)
{
    struct number product = {
        .kind = FINITE,
        .sign = a.sign != b.sign,
        .exponent = a.exponent + b.exponent + 1,
        .significand = (u128)(uint64_t)(a.significand >> 64) * (uint64_t)(b.significand >> 64),
    };
    return normalize(product);
}

static uint64_t add(const struct softfp_format *format, unsigned rm, struct number a, struct number b,
                    uint32_t *flags)
{
    if (a.kind == INFINITE && b.kind == INFINITE && a.sign != b.sign)
        return invalid(format, flags);
    if (a.kind == INFINITE || b.kind == INFINITE)
        return infinity(format, a.kind == INFINITE ? a.sign : b.sign);
    return round_and_pack(format, rm, add_finite(a, b, rm), flags);
}

uint64_t softfp_add(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags)
{
    struct number n[] = {unpack(format, a), unpack(format, b)};
    if (is_nan(&n[0]) || is_nan(&n[1]))
        return nan_result(format, n, 2, flags);
    return add(format, rm, n[0], n[1], flags);
}

uint64_t softfp_sub(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags)
{
    return softfp_add(format, rm, a, b ^ sign_bit(format, true), flags);
}

uint64_t softfp_mul(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags)
{
    struct number n[] = {unpack(format, a), unpack(format, b)};
    if (is_nan(&n[0]) || is_nan(&n[1]))
        return nan_result(format, n, 2, flags);
    if ((n[0].kind == INFINITE && is_zero(&n[1])) || (is_zero(&n[0]) && n[1].kind == INFINITE))
        return invalid(format, flags);
    if (n[0].kind == INFINITE || n[1].kind == INFINITE)
        return infinity(format, n[0].sign != n[1].sign);
    return round_and_pack(format, rm, multiply_finite(n[0], n[1]), flags);
}

uint64_t softfp_fma(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint64_t c,
                    uint32_t *flags)
{
    struct number n[] = {unpack(format, a), unpack(format, b), unpack(format, c)};
    if ((n[0].kind == INFINITE && is_zero(&n[1])) || (is_zero(&n[0]) && n[1].kind == INFINITE))
        return invalid(format, flags); /* whatever NaN is to be added */
    if (is_nan(&n[0]) || is_nan(&n[1]) || is_nan(&n[2]))
        return nan_result(format, n, 3, flags);
    struct number product = {.kind = INFINITE, .sign = n[0].sign != n[1].sign};
    if (n[0].kind == FINITE && n[1].kind == FINITE)
        product = multiply_finite(n[0], n[1]);
    return add(format, rm, product, n[2], flags);
}

static struct number divide_finite(struct number a, struct number b)
{
    u128 dividend = a.significand >> 1; /* its low bits are zeros */
    uint64_t divisor = (uint64_t)(b.significand >> 64);
    u128 quotient = dividend / divisor; /* 63 or 64 bits */
    struct number result = {
        .kind = FINITE,
        .sign = a.sign != b.sign,
        .exponent = a.exponent - b.exponent,
        .significand = quotient << 64 | (quotient * divisor != dividend),
    };
    return normalize(result);
}

uint64_t softfp_div(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags)
{
    struct number n[] = {unpack(format, a), unpack(format, b)};
    bool sign = n[0].sign != n[1].sign;
    if (is_nan(&n[0]) || is_nan(&n[1]))
        return nan_result(format, n, 2, flags);
    if ((n[0].kind == INFINITE && n[1].kind == INFINITE) || (is_zero(&n[0]) && is_zero(&n[1])))
        return invalid(format, flags);
    if (n[0].kind == INFINITE)
        return infinity(format, sign);
    if (n[1].kind == INFINITE || is_zero(&n[0]))
        return sign_bit(format, sign);
    if (is_zero(&n[1])) {
        *flags |= SOFTFP_DZ;
        return infinity(format, sign);
    }
    return round_and_pack(format, rm, divide_finite(n[0], n[1]), flags);
}

static struct number sqrt_finite(struct number a)
{
    /* radicand * 2^-126 is in [1, 4) and the exponent that remains is even. */
    u128 radicand = a.exponent & 1 ? a.significand : a.significand >> 1;
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 63; bit; bit >>= 1)
        if ((u128)(root | bit) * (root | bit) <= radicand)
            root |= bit;
    a.exponent = (a.exponent - (a.exponent & 1)) / 2;
    a.significand = (u128)root << 64 | ((u128)root * root != radicand);
    return a;
}

uint64_t softfp_sqrt(const struct softfp_format *format, unsigned rm, uint64_t a, uint32_t *flags)
{
    struct number n = unpack(format, a);
    if (is_nan(&n))
        return nan_result(format, &n, 1, flags);
    if (is_zero(&n) || (n.kind == INFINITE && !n.sign))
        return a;
    if (n.sign)
        return invalid(format, flags);
    return round_and_pack(format, rm, sqrt_finite(n), flags);
}

/* The magnitude of a number below 2^64, rounded to a whole one. */
static u128 round_to_integer(const struct number *n, unsigned rm, bool *inexact)
{
    return round_off(shift_right_sticky(n->significand, (unsigned)(63 - n->exponent)), 64, rm, n->sign,
                     inexact);
}

static struct number from_integer(uint64_t magnitude, bool sign)
{
    struct number n = {.kind = FINITE, .sign = sign, .exponent = 63, .significand = (u128)magnitude << 64};
    return normalize(n);
}

uint64_t softfp_round(const struct softfp_format *format, unsigned rm, uint64_t a, bool report_inexact,
                      uint32_t *flags)
{
    struct number n = unpack(format, a);
    bool inexact;
    if (is_nan(&n))
        return nan_result(format, &n, 1, flags);
    if (n.kind == INFINITE || is_zero(&n) || n.exponent >= (int)format->fraction_bits)
        return a;
    u128 magnitude = round_to_integer(&n, rm, &inexact);
    if (inexact && report_inexact)
        *flags |= SOFTFP_NX;
    return round_and_pack(format, rm, from_integer((uint64_t)magnitude, n.sign), flags);
}

uint64_t softfp_convert(const struct softfp_format *to, const struct softfp_format *from, unsigned rm,
                        uint64_t a, uint32_t *flags)
{
    struct number n = unpack(from, a);
    if (is_nan(&n))
        return nan_result(to, &n, 1, flags);
    if (n.kind == INFINITE)
        return infinity(to, n.sign);
    return round_and_pack(to, rm, n, flags);
}

static uint64_t sign_extend(uint64_t value, unsigned bits)
{
    return bits == 32 ? (uint64_t)(int64_t)(int32_t)value : value;
}

uint64_t softfp_to_int(const struct softfp_format *format, unsigned rm, uint64_t a, unsigned bits,
                       bool is_signed, uint32_t *flags)
{
    struct number n = unpack(format, a);
    bool negative = n.sign && !is_nan(&n), inexact = false;
    uint64_t sign = UINT64_C(1) << (bits - 1);
    uint64_t limit = negative ? (is_signed ? sign : 0) : (is_signed ? sign - 1 : sign | (sign - 1));
    u128 magnitude = ~(u128)0;
    if (n.kind == FINITE && n.exponent < 64)
        magnitude = round_to_integer(&n, rm, &inexact);
    if (magnitude > limit) {
        *flags |= SOFTFP_NV;
        magnitude = limit;
    } else if (inexact) {
        *flags |= SOFTFP_NX;
    }
    return sign_extend(negative ? -(uint64_t)magnitude : (uint64_t)magnitude, bits);
}

uint64_t softfp_from_signed(const struct softfp_format *format, unsigned rm, int64_t value, uint32_t *flags)
{
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    return round_and_pack(format, rm, from_integer(magnitude, value < 0), flags);
}

uint64_t softfp_from_unsigned(const struct softfp_format *format, unsigned rm, uint64_t value,
                              uint32_t *flags)
{
    return round_and_pack(format, rm, from_integer(value, false), flags);
}

bool softfp_is_signaling(const struct softfp_format *format, uint64_t a)
{
    return unpack(format, a).kind == SIGNALING;
}

unsigned softfp_class(const struct softfp_format *format, uint64_t a)
{
    /* Of positive numbers; the classes of negative ones mirror them downwards from 3. */
    enum { CLASS_ZERO = 4, CLASS_SUBNORMAL = 5, CLASS_NORMAL = 6, CLASS_INFINITE = 7 };
    struct number n = unpack(format, a);
    if (is_nan(&n))
        return n.kind == SIGNALING ? 1u << 8 : 1u << 9;
    unsigned class = CLASS_NORMAL;
    if (n.kind == INFINITE)
        class = CLASS_INFINITE;
    else if (is_zero(&n))
        class = CLASS_ZERO;
    else if (n.exponent < smallest_exponent(format))
        class = CLASS_SUBNORMAL;
    return 1u << (n.sign ? CLASS_INFINITE - class : class);
}
