// One end of iceoryx for bench/rivals.ts, set up as in its own examples "iceperf" and "waitset".
//
//     receive HOW COUNT                          the reader, to the frame with the number 0
//     publish HOW WARMUP COUNT INTERVAL_US SIZE  one frame after each pause
//     batches HOW BATCHES BATCH SIZE             one frame after another
//
// HOW is `waitset` or `spin`; for `batches` also `none`: there is no reader. A reader writes a line when a publisher may
// start, receives nothing where COUNT is 0, and stays connected until its standard input ends. Results are one line of
// JSON. iox-roudi runs, with roudi.toml.

#include "iceoryx_posh/mepoo/chunk_header.hpp"
#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{
using namespace std::chrono;

/// What goes with a picture.
struct Stamp
{
    /// Nanoseconds of CLOCK_MONOTONIC, just before it was published.
    uint64_t publishedNs;
    /// How many follow.
    uint64_t remaining;
};

/// How long iox-roudi may take to bring the two ends together.
constexpr seconds MEETING_TIME{5};

const iox::capro::ServiceDescription PICTURES{"cuframes", "bench", "pictures"};

/// steady_clock is CLOCK_MONOTONIC.
uint64_t monotonicNs()
{
    return static_cast<uint64_t>(duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count());
}

template <typename Number>
void print(const char* name, const std::vector<Number>& values)
{
    std::cout << "{\"" << name << "\":[";
    for (size_t index = 0; index < values.size(); ++index)
    {
        std::cout << (index == 0 ? "" : ",") << values[index];
    }
    std::cout << "]}" << std::endl;
}

// The reader.

/// The latencies of the last so many frames.
class Latencies
{
  public:
    explicit Latencies(const uint64_t count)
        : m_count(count)
    {
        m_ns.reserve(count);
    }

    /// Takes a picture that is there; says whether one was.
    bool takeFrom(iox::popo::UntypedSubscriber& subscriber)
    {
        auto taken = subscriber.take();
        if (taken.has_error())
        {
            if (taken.get_error() == iox::popo::ChunkReceiveResult::NO_CHUNK_AVAILABLE)
            {
                return false;
            }
            throw std::runtime_error("a picture cannot be taken");
        }
        const auto now = monotonicNs();
        const auto header = iox::mepoo::ChunkHeader::fromUserPayload(taken.value());
        const auto stamp = *static_cast<const Stamp*>(header->userHeader());
        subscriber.release(taken.value());
        if (stamp.remaining < m_count)
        {
            m_ns.push_back(now - stamp.publishedNs);
        }
        m_done = stamp.remaining == 0;
        return true;
    }

    bool done() const
    {
        return m_done;
    }

    const std::vector<uint64_t>& ns() const
    {
        return m_ns;
    }

  private:
    uint64_t m_count;
    std::vector<uint64_t> m_ns;
    bool m_done{false};
};

void receive(const std::string& how, const uint64_t count)
{
    // One picture waits at most, and a newer one takes its place.
    iox::popo::SubscriberOptions options;
    options.queueCapacity = 1U;
    options.historyRequest = 0U;
    options.queueFullPolicy = iox::popo::QueueFullPolicy::DISCARD_OLDEST_DATA;
    iox::popo::UntypedSubscriber subscriber{PICTURES, options};
    iox::popo::WaitSet<> waitSet;
    const bool sleeps = how == "waitset";
    if (sleeps && waitSet.attachEvent(subscriber, iox::popo::SubscriberEvent::DATA_RECEIVED).has_error())
    {
        throw std::runtime_error("the subscriber cannot be attached to the WaitSet");
    }
    Latencies latencies{count};
    std::cout << "{\"ready\":true}" << std::endl;
    while (count > 0 && !latencies.done())
    {
        if (!sleeps)
        {
            latencies.takeFrom(subscriber);
            continue;
        }
        for (const auto& notification : waitSet.wait())
        {
            if (notification->doesOriginateFrom(&subscriber))
            {
                while (latencies.takeFrom(subscriber))
                {
                }
            }
        }
    }
    if (count > 0)
    {
        print("latencyNs", latencies.ns());
    }
    while (std::cin.get() != std::char_traits<char>::eof())
    {
    }
    if (sleeps)
    {
        waitSet.detachEvent(subscriber, iox::popo::SubscriberEvent::DATA_RECEIVED);
    }
}

// The publisher.

class Sender
{
  public:
    Sender(const std::string& how, const uint32_t size)
        : m_publisher(PICTURES, options())
        , m_size(size)
    {
        if (how == "none")
        {
            return;
        }
        const auto deadline = steady_clock::now() + MEETING_TIME;
        while (!m_publisher.hasSubscribers())
        {
            if (steady_clock::now() > deadline)
            {
                throw std::runtime_error("no subscriber came");
            }
            std::this_thread::sleep_for(milliseconds(1));
        }
    }

    /// Sends a picture that nobody has written.
    void send(const uint64_t remaining)
    {
        auto loan = m_publisher.loan(
            m_size, iox::CHUNK_DEFAULT_USER_PAYLOAD_ALIGNMENT, sizeof(Stamp), alignof(Stamp));
        if (loan.has_error())
        {
            throw std::runtime_error("no chunk can be loaned");
        }
        auto* const stamp =
            static_cast<Stamp*>(iox::mepoo::ChunkHeader::fromUserPayload(loan.value())->userHeader());
        stamp->remaining = remaining;
        stamp->publishedNs = monotonicNs();
        m_publisher.publish(loan.value());
    }

  private:
    static iox::popo::PublisherOptions options()
    {
        iox::popo::PublisherOptions options;
        options.historyCapacity = 0U;
        options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::DISCARD_OLDEST_DATA;
        return options;
    }

    iox::popo::UntypedPublisher m_publisher;
    uint32_t m_size;
};

void publish(
    const std::string& how, const uint64_t warmup, const uint64_t count, const microseconds interval, const uint32_t size)
{
    Sender sender{how, size};
    std::vector<uint64_t> callNs;
    callNs.reserve(count);
    for (uint64_t left = warmup + count; left > 0; --left)
    {
        std::this_thread::sleep_for(interval);
        const auto before = monotonicNs();
        sender.send(left - 1);
        const auto after = monotonicNs();
        if (left <= count)
        {
            callNs.push_back(after - before);
        }
    }
    print("callNs", callNs);
}

void batches(const std::string& how, const uint64_t batches, const uint64_t batch, const uint32_t size)
{
    Sender sender{how, size};
    std::vector<double> callNs;
    // The first one only warms up.
    for (uint64_t index = 0; index <= batches; ++index)
    {
        const auto before = monotonicNs();
        for (uint64_t left = batch; left > 0; --left)
        {
            sender.send(left - 1);
        }
        const auto each = static_cast<double>(monotonicNs() - before) / static_cast<double>(batch);
        if (index > 0)
        {
            callNs.push_back(each);
        }
    }
    print("callNs", callNs);
}

void run(const std::vector<std::string>& arguments)
{
    const auto& end = arguments.at(0);
    const auto& how = arguments.at(1);
    const auto number = [&](const size_t index) { return std::stoull(arguments.at(index)); };
    if (how != "waitset" && how != "spin" && !(how == "none" && end == "batches"))
    {
        throw std::invalid_argument(how + ": there is no such way to wait");
    }
    const auto name = "cuframes-rival-" + std::to_string(getpid());
    iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
    if (end == "receive")
    {
        receive(how, number(2));
    }
    else if (end == "publish")
    {
        publish(how, number(2), number(3), microseconds(number(4)), static_cast<uint32_t>(number(5)));
    }
    else if (end == "batches")
    {
        batches(how, number(2), number(3), static_cast<uint32_t>(number(4)));
    }
    else
    {
        throw std::invalid_argument(end + ": there is no such end");
    }
}
} // namespace

int main(int argc, char* argv[])
{
    try
    {
        run({argv + 1, argv + argc});
        return EXIT_SUCCESS;
    }
    catch (const std::exception& error)
    {
        std::cerr << error.what() << std::endl;
        return EXIT_FAILURE;
    }
}
