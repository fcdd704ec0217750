/* Goldfish real-time clock: nanoseconds since 1970, one alarm.
 *
 * Threads: one lock, taken by the bus and the clock. Lifetime: rtc_init() ... rtc_release().
 * Source: Android emulator, "Goldfish virtual hardware", section "Goldfish real-time clock"; registers from 0x10 on as
 * in Linux, include/clocksource/timer-goldfish.h. */
#ifndef DEVICES_RTC_H
#define DEVICES_RTC_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"
#include "bus/state.h"

#define RTC_LENGTH 0x1000

struct rtc {
    struct bus_region region; /* for the board to map */
    pthread_mutex_t lock;
    struct irq_line irq;
    struct clock *clock;
    struct clock_timer timer;

    uint64_t offset;       /* what the guest made of the clock's wall time, ns modulo 2^64 */
    uint64_t alarm;        /* ns */
    uint32_t latched_high; /* TIME_HIGH, as of the last read of TIME_LOW */
    uint32_t alarm_high;   /* ALARM_HIGH, until ALARM_LOW is written */
    bool alarm_set, irq_enabled, irq_pending;
};

/* Copies `irq`; borrows the clock. */
void rtc_init(struct rtc *rtc, struct irq_line irq, struct clock *clock);
void rtc_release(struct rtc *rtc);

/* As after power-on, but the time stays. Takes the lock. */
void rtc_reset(struct rtc *rtc);

extern const struct state_table rtc_state;

#endif
