// Threads that share the parts of one piece of work.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace csot {

/// The thread that calls works, too: a pool of one has no threads.
class ThreadPool {
  public:
    /// Which worker does it, 0 to size() - 1, and which part it is. Must not throw.
    using Work = std::function<void(int worker, int part)>;

    explicit ThreadPool(int size);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;

    int size() const { return int(threads_.size()) + 1; }

    /// Returns when all parts are done. One caller at a time.
    void run(int part_count, const Work &work);

  private:
    void wait_for_work(int worker);
    void take_parts(int worker, int part_count, const Work &work);
    void stop();

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable has_work_, is_done_;
    const Work *work_ = nullptr;  // these three and the two below are guarded by the mutex
    int part_count_ = 0;
    int round_ = 0;
    int busy_ = 0;
    bool is_stopping_ = false;
    std::atomic<int> next_{0};
};

}  // namespace csot
