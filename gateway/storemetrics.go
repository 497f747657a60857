package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fanfare-gateway/fanfare/queue"
)

var (
	commitsDesc  = prometheus.NewDesc("fanfare_store_commits_total", "Group commits written.", nil, nil)
	requestsDesc = prometheus.NewDesc("fanfare_store_requests_total", "Requests the group commits served; per commit: how well grouping works.", nil, nil)
	syncDesc     = prometheus.NewDesc("fanfare_store_sync_seconds", "Time until a group commit was durable: written to the log and synced.", nil, nil)
	stallsDesc   = prometheus.NewDesc("fanfare_store_write_stalls_total", "Times writes were held up because flushes or compactions could not follow.", nil, nil)
	lostDesc     = prometheus.NewDesc("fanfare_store_unreadable_messages_total", "Messages met of which a broken file lost the body: restore a backup, or purge the queue.", nil, nil)
	brokenDesc   = prometheus.NewDesc("fanfare_store_broken_files", "Files met since the start of which a part cannot be read: restore a backup.", nil, nil)
	logDesc      = prometheus.NewDesc("fanfare_store_wal_bytes_total", "Bytes written to the write-ahead log.", nil, nil)
	sizeDesc     = prometheus.NewDesc("fanfare_store_size_bytes", "Size of the store's files.", nil, nil)
	l0Desc       = prometheus.NewDesc("fanfare_store_l0_files", "Tables not yet sorted into the levels below.", nil, nil)
	sublevelDesc = prometheus.NewDesc("fanfare_store_l0_sublevels", "Layers of these tables, which a read may have to look through.", nil, nil)
	debtDesc     = prometheus.NewDesc("fanfare_store_compaction_debt_bytes", "Estimated bytes still to be compacted.", nil, nil)
	fullDesc     = prometheus.NewDesc("fanfare_disk_full", "Whether publishes are refused for want of disk space.", nil, nil)
	freeDesc     = prometheus.NewDesc("fanfare_disk_free_bytes", "Free space of the store's disk.", nil, nil)
	totalDesc    = prometheus.NewDesc("fanfare_disk_size_bytes", "Size of the store's disk.", nil, nil)
)

func describeStore(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		commitsDesc, requestsDesc, syncDesc, stallsDesc, lostDesc, brokenDesc, logDesc, sizeDesc, l0Desc, sublevelDesc, debtDesc, fullDesc, freeDesc, totalDesc,
	} {
		ch <- d
	}
}

func collectStore(to sink, s *queue.Store) {
	to.gauge(fullDesc, number(s.DiskFull()))
	m, err := s.Metrics()
	if err != nil {
		return // it is closing, or dead
	}
	to.counter(commitsDesc, m.Groups)
	to.counter(requestsDesc, m.Requests)
	to.counter(stallsDesc, m.Stalls)
	to.counter(lostDesc, m.Unreadable)
	to.gauge(brokenDesc, float64(m.BrokenFiles))
	to.counter(logDesc, m.LogBytes)
	to.gauge(sizeDesc, float64(m.Size))
	to.gauge(l0Desc, float64(m.L0Files))
	to.gauge(sublevelDesc, float64(m.L0Sublevels))
	to.gauge(debtDesc, float64(m.CompactionDebt))
	if m.DiskTotal > 0 {
		to.gauge(freeDesc, float64(m.DiskFree))
		to.gauge(totalDesc, float64(m.DiskTotal))
	}
	within := make(map[float64]uint64, len(m.Sync.Within))
	for bound, n := range m.Sync.Within {
		within[bound.Seconds()] = n
	}
	to <- prometheus.MustNewConstHistogram(syncDesc, m.Sync.Count, m.Sync.Sum.Seconds(), within)
}
