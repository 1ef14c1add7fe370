package render

import "ecr-continuous-scan/internal/history"

// ChangeWords are the words for a change that is about scanning, a tag or a repository, not about a finding. Name is
// its name in titles, categories and contents. Sentence has the image or the repository for %s.
type ChangeWords struct{ Name, Sentence, Advice string }

// WordsOfChange returns the words for a kind. The ends of problems have other names than their kinds: the id of an entry is
// computed from its kind, so a renamed kind would make feed readers show old entries again.
func WordsOfChange(c history.Change) ChangeWords {
	const (
		isOver   = "The problem is resolved. Nothing needs to be done."
		notFixed = "Its findings are no longer listed. This does not mean that they were fixed."
		noScans  = "There are no new results for it while this lasts. This does not mean that its findings were fixed."
	)
	region := c.Repository.Region
	switch c.Kind {
	case history.Unscanned:
		return ChangeWords{"NOT SCANNED", "image %s has had no completed scan for 2 days",
			"This image has no recent result. Check its state in the summary, and check in the log that visits succeed."}
	case history.Scanned:
		return ChangeWords{"SCANNED AGAIN", "image %s was scanned again", isOver}
	case history.Failing:
		return ChangeWords{"SCAN FAILED", "image %s can't be scanned", "There are no new results for this image until a scan succeeds."}
	case history.Recovered:
		return ChangeWords{"SCAN RECOVERED", "the scans of image %s no longer fail", isOver}
	case history.RepositoryGone:
		return ChangeWords{"REPOSITORY GONE", "the registry has no repository %s in " + region + " any more",
			"The service can't scan this repository. If the repository was deleted permanently, delete the scan config that names it. A pattern needs no change."}
	case history.RepositoryBack:
		return ChangeWords{"REPOSITORY BACK", "the registry has the repository %s in " + region + " again", isOver}
	case history.RepositoryNew:
		return ChangeWords{"NEW REPOSITORY", "the registry has a new repository %s in " + region,
			"A scan config with a pattern watches it. The first scan of each image is its baseline."}
	case history.TagGone:
		return ChangeWords{"TAG GONE", "the repository no longer has image %s", notFixed}
	case history.TagBack:
		return ChangeWords{"TAG BACK", "the repository has image %s again", isOver}
	case history.PlatformGone:
		return ChangeWords{"PLATFORM GONE", "the tag no longer has image %s", notFixed}
	case history.PlatformBack:
		return ChangeWords{"PLATFORM BACK", "the tag has image %s again", isOver}
	}
	if c.Suppression != nil {
		return suppressionWords(c)
	}
	return kindWords(c.Kind, isOver, noScans)
}

// suppressionWords returns the words for a change of a suppression.
func suppressionWords(c history.Change) ChangeWords {
	until := ""
	if at := c.Suppression.Until; !at.IsZero() {
		until = " until " + RFC3339(at)
	}
	switch c.Kind {
	case history.SuppressionAdded:
		return ChangeWords{"SUPPRESSION ADDED", "suppressed" + until + ": %s", "Its findings are not counted, listed, told as changes or judged by the gate."}
	case history.SuppressionChanged:
		return ChangeWords{"SUPPRESSION CHANGED", "suppressed" + until + ": %s", "What it does not match any more is told as new."}
	case history.SuppressionDeleted:
		return ChangeWords{"SUPPRESSION DELETED", "no longer suppressed: %s", "Its findings are told as new."}
	}
	return ChangeWords{"SUPPRESSION ENDS", "suppressed only" + until + ": %s", "Its findings are told as new then. To suppress them longer, replace the suppression before."}
}

// kindWords returns the words for an image that became another kind of object.
func kindWords(kind history.EventKind, isOver, noScans string) ChangeWords {
	switch kind {
	case history.Archived:
		return ChangeWords{"ARCHIVED", "image %s was archived, and ECR no longer scans it", noScans}
	case history.Restored:
		return ChangeWords{"RESTORED", "image %s is no longer archived", isOver}
	case history.NotImage:
		return ChangeWords{"NOT AN IMAGE", "%s is no longer an image", noScans}
	case history.ImageAgain:
		return ChangeWords{"IMAGE AGAIN", "%s is an image again", isOver}
	case history.IndexUnread:
		return ChangeWords{"INDEX UNREADABLE", "image %s is no longer scanned, because its image index can't be read", noScans}
	case history.IndexRead:
		return ChangeWords{"INDEX READABLE", "the image index of image %s can be read again", isOver}
	}
	return ChangeWords{Name: string(kind), Sentence: "image %s changed"}
}
