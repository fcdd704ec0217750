/* POSIX threads: life cycle, thread-local storage, every synchronization object, cancellation, ends of the process.
 * timeout: 120
 */
#include "test.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

enum { WORKERS = 8, ROUNDS = 2000 };

static void run_workers(void *(*body)(void *))
{
    pthread_t threads[WORKERS];
    for (long i = 0; i < WORKERS; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)i) != 0)
            say("BAD pthread_create %ld", i);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
}

static void *square(void *arg)
{
    long x = (long)arg;
    return (void *)(x * x);
}

static void test_create(void)
{
    long sum = 0;
    for (long i = 0; i < 500; i++) {
        pthread_t thread;
        void *result = NULL;
        pthread_create(&thread, NULL, square, (void *)i);
        pthread_join(thread, &result);
        sum += (long)result;
    }
    EQ("500 threads one after the other", sum, 41541750);
}

static __thread int tls_zero;
static __thread long tls_value = 99;
static __thread char tls_big[4096] = "initial";
static int tls_right;

static void *tls_body(void *arg)
{
    bool fresh = tls_zero == 0 && tls_value == 99 && strcmp(tls_big, "initial") == 0;
    for (int i = 0; i < ROUNDS; i++) {
        tls_value += (long)arg;
        tls_zero++;
        if (i % 100 == 0)
            sched_yield();
    }
    if (fresh && tls_value == 99 + ROUNDS * (long)arg && tls_zero == ROUNDS)
        __atomic_add_fetch(&tls_right, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spinlock;
static pthread_barrier_t barrier;
static sem_t semaphore;
static long counter, rw_counter, spin_counter, sem_counter, once_counter, key_counter;
static int turn, torn, serial;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void *mutex_body(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
        pthread_spin_lock(&spinlock);
        spin_counter++;
        pthread_spin_unlock(&spinlock);
        sem_wait(&semaphore);
        sem_counter++;
        sem_post(&semaphore);
    }
    return arg;
}

static void *turn_body(void *arg)
{
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % WORKERS != (int)(long)arg)
            pthread_cond_wait(&condition, &mutex);
        turn++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static volatile long pair[2];

static void *rw_body(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        if ((i + (long)arg) % 4 == 0) {
            pthread_rwlock_wrlock(&rwlock);
            pair[0]++;
            rw_counter++;
            pair[1]++;
            pthread_rwlock_unlock(&rwlock);
        } else {
            pthread_rwlock_rdlock(&rwlock);
            if (pair[0] != pair[1])
                __atomic_add_fetch(&torn, 1, __ATOMIC_SEQ_CST);
            pthread_rwlock_unlock(&rwlock);
        }
    return NULL;
}

static int phase_count[50], phase_errors;

static void *barrier_body(void *arg)
{
    for (int i = 0; i < 50; i++) {
        __atomic_add_fetch(&phase_count[i], 1, __ATOMIC_SEQ_CST);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&phase_count[i], __ATOMIC_SEQ_CST) != WORKERS)
            __atomic_add_fetch(&phase_errors, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}

static void count_once(void)
{
    once_counter++;
}

static void key_gone(void *value)
{
    __atomic_add_fetch(&key_counter, (long)value, __ATOMIC_SEQ_CST);
}

static void *once_body(void *arg)
{
    pthread_once(&once, count_once);
    pthread_setspecific(key, (void *)((long)arg + 1));
    return pthread_getspecific(key) == (void *)((long)arg + 1) ? NULL : arg;
}

static void test_objects(void)
{
    run_workers(tls_body);
    EQ("thread-local variables", tls_right, WORKERS);
    EQ("main's own are untouched", tls_value, 99);
    pthread_spin_init(&spinlock, 0);
    sem_init(&semaphore, 0, 1);
    run_workers(mutex_body);
    EQ("mutex", counter, WORKERS * ROUNDS);
    EQ("spin lock", spin_counter, WORKERS * ROUNDS);
    EQ("semaphore", sem_counter, WORKERS * ROUNDS);
    run_workers(turn_body);
    EQ("condition variable in turns", turn, WORKERS * 200);
    run_workers(rw_body);
    EQ("rwlock: writers", rw_counter, WORKERS * ROUNDS / 4);
    EQ("rwlock: torn reads", torn, 0);
    pthread_barrier_init(&barrier, NULL, WORKERS);
    run_workers(barrier_body);
    EQ("barrier: early leavers", phase_errors, 0);
    EQ("barrier: one serial thread each", serial, 50);
    pthread_key_create(&key, key_gone);
    run_workers(once_body);
    EQ("once", once_counter, 1);
    EQ("key destructors", key_counter, WORKERS * (WORKERS + 1) / 2);
}

static void test_timeouts(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 20000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    pthread_mutex_lock(&mutex);
    EQ("cond_timedwait", pthread_cond_timedwait(&condition, &mutex, &t), ETIMEDOUT);
    EQ("trylock of a held mutex", pthread_mutex_trylock(&mutex), EBUSY);
    EQ("timedlock of a held mutex", pthread_mutex_timedlock(&mutex, &t), ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    sem_wait(&semaphore);
    ERR("sem_trywait", sem_trywait(&semaphore), EAGAIN);
    ERR("sem_timedwait", sem_timedwait(&semaphore, &t), ETIMEDOUT);
    pthread_mutexattr_t attr;
    pthread_mutex_t checked;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&checked, &attr);
    pthread_mutex_lock(&checked);
    EQ("error-checking mutex", pthread_mutex_lock(&checked), EDEADLK);
    pthread_mutex_unlock(&checked);
    EQ("unlock of a free one", pthread_mutex_unlock(&checked), EPERM);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&checked, &attr);
    pthread_mutex_lock(&checked);
    EQ("recursive mutex", pthread_mutex_lock(&checked), 0);
}

static volatile int started, cleaned;

static void on_clean(void *arg)
{
    cleaned += (int)(long)arg;
}

static void *wait_for_cancel(void *arg)
{
    pthread_cleanup_push(on_clean, (void *)1);
    pthread_cleanup_push(on_clean, (void *)10);
    __atomic_store_n(&started, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return arg;
}

static void *spin_for_cancel(void *arg)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    __atomic_store_n(&started, 1, __ATOMIC_SEQ_CST);
    for (;;)
        ;
    return arg;
}

static void *refuse_cancel(void *arg)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    __atomic_store_n(&started, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) == 1)
        sleep_ms(1);
    pthread_testcancel();
    return arg;
}

static void *cancel(void *(*body)(void *))
{
    pthread_t thread;
    void *result;
    started = 0;
    pthread_create(&thread, NULL, body, (void *)5);
    while (!__atomic_load_n(&started, __ATOMIC_SEQ_CST))
        sched_yield();
    pthread_cancel(thread);
    started = 2;
    pthread_join(thread, &result);
    return result;
}

static void test_cancel(void)
{
    OK("cancelled in pause", cancel(wait_for_cancel) == PTHREAD_CANCELED);
    EQ("cleanup handlers ran", cleaned, 11);
    OK("cancelled in a loop", cancel(spin_for_cancel) == PTHREAD_CANCELED);
    OK("cancellation disabled", cancel(refuse_cancel) == (void *)5);
}

static void *detached_body(void *arg)
{
    pthread_detach(pthread_self());
    sem_post(arg);
    return NULL;
}

static size_t seen_stack;

static void *stack_body(void *arg)
{
    pthread_attr_t attr;
    void *base;
    char big[200000];
    memset(big, (int)(long)arg, sizeof big);
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &base, &seen_stack);
    pthread_attr_destroy(&attr);
    return big >= (char *)base && big < (char *)base + seen_stack ? (void *)(long)big[1999] : NULL;
}

static void test_attributes(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    sem_t done;
    void *result;
    sem_init(&done, 0, 0);
    for (int i = 0; i < 20; i++)
        pthread_create(&thread, NULL, detached_body, &done);
    for (int i = 0; i < 20; i++)
        sem_wait(&done);
    OK("detached threads", true);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 20);
    pthread_create(&thread, &attr, stack_body, (void *)7);
    pthread_join(thread, &result);
    EQ("a stack of one's own size", (long)result, 7);
    EQ("reported by getattr_np", (long)seen_stack, 1 << 20);
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_setstack(&attr, memory, 1 << 20);
    pthread_create(&thread, &attr, stack_body, (void *)8);
    pthread_join(thread, &result);
    EQ("a stack of one's own memory", (long)result, 8);
    pthread_setname_np(pthread_self(), "worker-name");
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    STR("thread name", name, "worker-name");
    OK("gettid of the main thread is the pid", gettid() == getpid());
}

static void *late_exit(void *arg)
{
    sleep_ms(50);
    exit((int)(long)arg);
}
static void main_leaves(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, late_exit, (void *)33);
    pthread_exit(NULL);
}
static void *last_thread(void *arg)
{
    sleep_ms(50);
    return arg;
}
static void main_leaves_quietly(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, last_thread, NULL);
    pthread_exit(NULL);
}
static void *group_exit(void *arg)
{
    _exit((int)(long)arg);
}
static void other_exits(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, group_exit, (void *)44);
    for (;;)
        pause();
}
static void *fault(void *arg)
{
    *(volatile int *)arg = 1;
    return NULL;
}
static void other_faults(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, fault, (void *)8);
    for (;;)
        ;
}
static void *spin(void *arg)
{
    for (;;)
        ;
    return arg;
}
static void exit_while_spinning(void)
{
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, spin, NULL);
    sleep_ms(20);
    exit(55);
}

static void test_ends(void)
{
    EQ("main thread gone, exit from another", shell_status(in_child(main_leaves)), 33);
    EQ("main thread gone, the last one returns", shell_status(in_child(main_leaves_quietly)), 0);
    EQ("exit_group from a thread", shell_status(in_child(other_exits)), 44);
    EQ("SIGSEGV in a thread", shell_status(in_child(other_faults)), 128 + SIGSEGV);
    EQ("exit while threads spin", shell_status(in_child(exit_while_spinning)), 55);
}

int main(void)
{
    test_create();
    test_objects();
    test_timeouts();
    test_cancel();
    test_attributes();
    test_ends();
    return test_end();
}
