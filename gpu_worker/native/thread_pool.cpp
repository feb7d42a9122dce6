#include "thread_pool.h"

#include <system_error>

#include "failure.h"

namespace csot {

ThreadPool::ThreadPool(int size) {
    try {
        for (int worker = 1; worker < size; worker++) threads_.emplace_back([this, worker] { wait_for_work(worker); });
    } catch (const std::system_error &) {
        stop();
        throw Failure(CSOT_E_MEMORY, "no further thread can be started; lower “threads” in config.yaml");
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        is_stopping_ = true;
    }
    has_work_.notify_all();
    for (std::thread &thread : threads_) thread.join();
    threads_.clear();
}

void ThreadPool::run(int part_count, const Work &work) {
    if (threads_.empty() || part_count == 1) {
        for (int part = 0; part < part_count; part++) work(0, part);
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        work_ = &work;
        part_count_ = part_count;
        next_ = 0;
        busy_ = int(threads_.size());
        round_++;
    }
    has_work_.notify_all();
    take_parts(0, part_count, work);
    std::unique_lock<std::mutex> lock(mutex_);
    is_done_.wait(lock, [this] { return busy_ == 0; });
}

void ThreadPool::wait_for_work(int worker) {
    int round = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        has_work_.wait(lock, [&] { return is_stopping_ || round_ != round; });
        if (is_stopping_) return;
        round = round_;
        const Work &work = *work_;
        const int part_count = part_count_;
        lock.unlock();
        take_parts(worker, part_count, work);
        lock.lock();
        if (--busy_ == 0) is_done_.notify_one();
    }
}

void ThreadPool::take_parts(int worker, int part_count, const Work &work) {
    for (int part; (part = next_.fetch_add(1)) < part_count;) work(worker, part);
}

}  // namespace csot
