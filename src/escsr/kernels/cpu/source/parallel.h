// Work shared by the threads of the OpenMP runtime that PyTorch has loaded, and memory of each thread.
#pragma once

#include <atomic>
#include <cstdlib>
#include <new>

#include "tiles.h"

namespace escsr {

// GOMP_parallel(function, argument, threads, flags) of that runtime; none: everything runs on the caller.
using Fork = void (*)(void (*)(void*), void*, unsigned, unsigned);
inline Fork fork_team = nullptr;

// Memory that a thread keeps from call to call: fresh pages would cost more than the work on them.
class Scratch {
 public:
  ~Scratch() { std::free(memory_); }

  // Room for so many bytes, aligned to 64; what it held before is lost.
  char* reserve(size_t bytes) {
    if (bytes > size_) {
      std::free(memory_);
      size_ = 0;
      memory_ = static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
      if (memory_ == nullptr) throw std::bad_alloc();
      size_ = bytes;
    }
    return memory_;
  }

 private:
  char* memory_ = nullptr;
  size_t size_ = 0;
};

inline Scratch& scratch_of_thread() {
  thread_local Scratch scratch;
  return scratch;
}

// Hands out pieces of one reservation; run once without memory to learn how much is needed.
class Arena {
 public:
  explicit Arena(char* memory) : memory_(memory) {}

  template <class T>
  T* take(size_t count) {
    T* piece = reinterpret_cast<T*>(memory_ + used_);
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    return memory_ == nullptr ? nullptr : piece;
  }

  size_t used() const { return used_; }

 private:
  char* memory_;
  size_t used_ = 0;
};

// Calls work(i) for every i below `items`, each once, by up to `threads` threads.
// Returns whether all of them ran; false where memory ran out.
template <class Work>
bool share_out(int items, int threads, Work& work) {
  struct Team {
    std::atomic<int> next{0};
    std::atomic<bool> failed{false};
    int items;
    Work* work;
  } team;
  team.items = items;
  team.work = &work;
  auto run = [](void* argument) {
    Team& team = *static_cast<Team*>(argument);
    const TileUse use;
    try {
      for (int item; (item = team.next.fetch_add(1, std::memory_order_relaxed)) < team.items;) (*team.work)(item);
    } catch (const std::bad_alloc&) {
      team.failed = true;
    }
  };
  if (threads > items) threads = items;
  if (threads <= 1 || fork_team == nullptr)
    run(&team);
  else
    fork_team(run, &team, static_cast<unsigned>(threads), 0);
  return !team.failed;
}

// Adds the blocks [groups][size] to the first of them, one after the other.
inline bool add_up(float* blocks, size_t size, int groups, int threads) {
  constexpr size_t kPart = 8192;
  auto work = [&](int part) {
    const size_t first = part * kPart, last = first + kPart < size ? first + kPart : size;
    for (int group = 1; group < groups; ++group)
      for (size_t i = first; i < last; ++i) blocks[i] += blocks[group * size + i];
  };
  return share_out(int((size + kPart - 1) / kPart), threads, work);
}

}  // namespace escsr
