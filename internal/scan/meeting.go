package scan

// meeting takes the images of a repository into its record, page by page.
type meeting struct {
	*ledger
	// all tells that the pages are to be all that there are; met has their labels.
	all bool
	met map[string]bool
}

func newMeeting(l *ledger, all bool) *meeting {
	return &meeting{ledger: l, all: all, met: make(map[string]bool)}
}

// page takes in one page.
func (m *meeting) page(p page) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	if m.blank {
		return
	}
	if len(p.tags) > 0 { // named, and when all are listed those of them that no page had
		for _, i := range m.listed(p.images, p.tags, now) {
			m.met[i.Label()] = true
		}
		return
	}
	m.now.there(now)
	for _, i := range m.withKnownPlatforms(p.images) {
		m.met[i.Label()] = true
		if m.stale[i.Label()] == nil {
			m.now.observed(i, now)
		}
	}
}

// failed takes in why a page could not be listed.
func (m *meeting) failed(err error) {
	if CodeOf(err) == RepositoryNotFound {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.now.gone(m.clock())
	}
}

// end takes in that there are no further pages.
func (m *meeting) end(complete bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.all || !complete || m.blank {
		return
	}
	now := m.clock()
	for label := range m.now.Images {
		if !m.met[label] {
			m.now.unobserved(label, now)
		}
	}
	m.now.Listed, m.now.touched = now, true
}
