#include "devices/rtc.h"

enum {
    TIME_LOW = 0x00,
    TIME_HIGH = 0x04,
    ALARM_LOW = 0x08,
    ALARM_HIGH = 0x0c,
    IRQ_ENABLED = 0x10,
    CLEAR_ALARM = 0x14,
    ALARM_STATUS = 0x18,
    CLEAR_INTERRUPT = 0x1c,
};

static uint64_t now(const struct rtc *r)
{
    return clock_wall(r->clock) + r->offset;
}

static void update_irq(const struct rtc *r)
{
    irq_set(&r->irq, r->irq_pending && r->irq_enabled);
}

/* ---- Alarm ---- */

/* Sets the timer: to now, when the alarm is past. */
static void arm(struct rtc *r)
{
    uint64_t time = now(r), when = CLOCK_NEVER;
    if (r->alarm_set &&
        __builtin_add_overflow(clock_now(r->clock), r->alarm > time ? r->alarm - time : 0, &when))
        when = CLOCK_NEVER;
    clock_timer_set(&r->timer, when);
}

/* An alarm in the past goes off at once. */
static void update_alarm(struct rtc *r)
{
    if (r->alarm_set && r->alarm <= now(r)) {
        r->alarm_set = false;
        r->irq_pending = true;
    }
    arm(r);
    update_irq(r);
}

static void expire(void *device)
{
    update_alarm(device);
}

/* ---- Registers ---- */

static uint32_t read_time_low(struct rtc *r)
{
    uint64_t time = now(r);
    r->latched_high = (uint32_t)(time >> 32);
    return (uint32_t)time;
}

static uint32_t read_register(struct rtc *r, uint64_t offset)
{
    switch (offset) {
    case TIME_LOW: return read_time_low(r);
    case TIME_HIGH: return r->latched_high;
    case ALARM_LOW: return (uint32_t)r->alarm;
    case ALARM_HIGH: return (uint32_t)(r->alarm >> 32);
    case IRQ_ENABLED: return r->irq_enabled;
    case ALARM_STATUS: return r->alarm_set;
    default: return 0;
    }
}

/* Drivers write TIME_HIGH first, so the alarm is looked at when TIME_LOW is written. */
static void write_time(struct rtc *r, uint64_t mask, uint64_t bits)
{
    uint64_t old = now(r);
    r->offset += ((old & ~mask) | bits) - old;
}

static void write_alarm(struct rtc *r, uint32_t low)
{
    r->alarm = (uint64_t)r->alarm_high << 32 | low;
    r->alarm_set = true;
}

static void write_register(struct rtc *r, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case TIME_LOW: write_time(r, UINT32_MAX, value); break;
    case TIME_HIGH: write_time(r, (uint64_t)UINT32_MAX << 32, (uint64_t)value << 32); return;
    case ALARM_LOW: write_alarm(r, value); break;
    case ALARM_HIGH: r->alarm_high = value; break;
    case IRQ_ENABLED: r->irq_enabled = value & 1; break;
    case CLEAR_ALARM: r->alarm_set = false; break;
    case CLEAR_INTERRUPT: r->irq_pending = false; break;
    default: return;
    }
    update_alarm(r);
}

static enum bus_result access(void *device, struct bus_access *a)
{
    if (a->is_write)
        write_register(device, a->address, (uint32_t)a->value);
    else
        a->value = read_register(device, a->address);
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 4};

/* ---- Life ---- */

void rtc_reset(struct rtc *r)
{
    pthread_mutex_lock(&r->lock);
    r->alarm = 0;
    r->alarm_high = r->latched_high = 0;
    r->alarm_set = r->irq_enabled = r->irq_pending = false;
    clock_timer_set(&r->timer, CLOCK_NEVER);
    update_irq(r);
    pthread_mutex_unlock(&r->lock);
}

void rtc_init(struct rtc *r, struct irq_line irq, struct clock *clock)
{
    *r = (struct rtc){.irq = irq, .clock = clock};
    r->region =
        (struct bus_region){.name = "rtc", .length = RTC_LENGTH, .ops = &ops, .device = r, .lock = &r->lock};
    pthread_mutex_init(&r->lock, NULL);
    clock_timer_init(&r->timer, clock, &r->lock, expire, r);
    rtc_reset(r);
}

void rtc_release(struct rtc *r)
{
    clock_timer_set(&r->timer, CLOCK_NEVER);
    pthread_mutex_destroy(&r->lock);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_TRANSIENT(struct rtc, region), F_TRANSIENT(struct rtc, lock),   F_TRANSIENT(struct rtc, irq),
    F_TRANSIENT(struct rtc, clock),  F_TRANSIENT(struct rtc, timer),  F_U64(struct rtc, offset),
    F_U64(struct rtc, alarm),        F_U32(struct rtc, latched_high), F_U32(struct rtc, alarm_high),
    F_BOOL(struct rtc, alarm_set),   F_BOOL(struct rtc, irq_enabled), F_BOOL(struct rtc, irq_pending),
};

/* Changes nothing of what was saved: a driver may have been about to set the time. */
static void loaded(void *object)
{
    arm(object);
    update_irq(object);
}

const struct state_table rtc_state = {
    .name = "rtc", .version = 1, .size = sizeof(struct rtc), STATE_FIELDS(fields), .loaded = loaded};
