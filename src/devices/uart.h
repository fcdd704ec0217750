/* National Semiconductor 16550A serial port: FIFOs of 16 bytes, interrupts, loopback. Characters take no time to send;
 * time passes only for the receiver's time-out, by the programmed rate.
 *
 * Threads: one lock, taken by the bus, the clock and the console. Lifetime: uart_init() ... uart_release().
 * Source: PC16550D data sheet (National Semiconductor, June 1995), section 8. */
#ifndef DEVICES_UART_H
#define DEVICES_UART_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"
#include "bus/state.h"
#include "console/console.h"

#define UART_LENGTH    0x100   /* bytes of the region; the registers are its first 8 */
#define UART_FREQUENCY 3686400 /* Hz; a divisor of 2 makes 115,200 baud */

enum { UART_FIFO = 16 };

struct uart_fifo {
    uint8_t data[UART_FIFO];
    uint8_t head, count; /* the oldest character, how many */
};

struct uart {
    struct bus_region region; /* for the board to map */
    pthread_mutex_t lock;
    struct irq_line irq;
    struct console *console;
    struct clock *clock;
    struct clock_timer timer;

    uint8_t ier, fcr, lcr, mcr, scratch;
    uint8_t changed; /* MSR's lower half: which of the modem's lines changed since it was read */
    uint16_t divisor;
    bool overrun;         /* LSR's OE */
    bool thr_pending;     /* the transmitter became empty, and IIR has not told of it */
    bool timeout_pending; /* characters wait in the receiver below the trigger level */
    uint64_t timeout_at;  /* when that will be so, ns; CLOCK_NEVER */
    struct uart_fifo rx, tx;
};

/* Copies `irq`; borrows the clock and the console. */
void uart_init(struct uart *uart, struct irq_line irq, struct clock *clock, struct console *console);
void uart_release(struct uart *uart);

/* As after power-on. Takes the lock. */
void uart_reset(struct uart *uart);

extern const struct state_table uart_state, uart_fifo_state;

#endif
