package sqslocal

import (
	"crypto/md5"
	"encoding/hex"
	"regexp"

	"ecr-continuous-scan/internal/awslocal"
)

type sentMessage struct {
	ID        string `json:"Id,omitempty"`
	MD5       string `json:"MD5OfMessageBody"`
	MessageID string `json:"MessageId"`
	Sequence  string `json:"SequenceNumber"`
}

type failedEntry struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

func (q *queue) sendOne(r *sqsRequest) (any, error) {
	if err := r.checkGroup(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.send(r.sqsEntry), nil
}

// sendBatch returns an error if the batch is invalid. Otherwise it accepts or rejects each entry separately.
func (q *queue) sendBatch(r *sqsRequest) (any, error) {
	if err := checkBatch(r.Entries); err != nil {
		return nil, err
	}
	answer := struct {
		Successful []sentMessage
		Failed     []failedEntry
	}{[]sentMessage{}, []failedEntry{}}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range r.Entries {
		switch err := e.check(); {
		case err != nil:
			answer.Failed = append(answer.Failed, failedEntry{e.ID, err.Code, err.Message, true})
		case q.refuseNext > 0:
			q.refuseNext--
			answer.Failed = append(answer.Failed, failedEntry{e.ID, "InternalError", "", false})
		default:
			answer.Successful = append(answer.Successful, q.send(e))
		}
	}
	return answer, nil
}

func (q *queue) send(e sqsEntry) sentMessage {
	m := q.add(e)
	return sentMessage{e.ID, md5Hex(e.MessageBody), m.id, m.sequence}
}

// md5Hex returns the MD5 checksum of a body. SQS returns it, and SDKs verify it.
func md5Hex(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// checkGroup checks the parameters that a message to a FIFO queue must have. An error makes the whole batch fail.
func (e sqsEntry) checkGroup() error {
	switch {
	case e.MessageGroupID == "":
		return awslocal.BadRequest("MissingParameter", "The request must contain the parameter MessageGroupId.")
	case e.MessageDeduplicationID == "":
		return awslocal.BadRequest("InvalidParameterValue",
			"The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// fifoID matches valid group ids and deduplication ids: letters, digits and punctuation.
var fifoID = regexp.MustCompile(`^[!-~]{1,128}$`)

// check validates a message. In a batch, an error makes only this entry fail.
func (e sqsEntry) check() *awslocal.Error {
	invalid := func(parameter string, value any, reason string) *awslocal.Error {
		return awslocal.BadRequest("InvalidParameterValue", "Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
	}
	const form = " can only include alphanumeric and punctuation characters. 1 to 128 in length."
	switch {
	case e.MessageBody == "":
		return awslocal.BadRequest("MissingParameter", "The request must contain the parameter MessageBody.")
	case len(e.MessageBody) > sqsMaxBytes:
		return awslocal.BadRequest("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", sqsMaxBytes)
	case e.DelaySeconds != 0:
		return invalid("DelaySeconds", e.DelaySeconds, "The request include parameter that is not valid for this queue type.")
	case !fifoID.MatchString(e.MessageGroupID):
		return invalid("MessageGroupId", e.MessageGroupID, "MessageGroupId"+form)
	case !fifoID.MatchString(e.MessageDeduplicationID):
		return invalid("MessageDeduplicationId", e.MessageDeduplicationID, "MessageDeduplicationId"+form)
	}
	return nil
}

// entryID matches valid ids of batch entries.
var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func checkBatch(entries []sqsEntry) error {
	switch {
	case len(entries) == 0:
		return awslocal.BadRequest("EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request.")
	case len(entries) > sqsMaxBatch:
		return awslocal.BadRequest("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", len(entries))
	}
	seen, size := map[string]bool{}, 0
	for _, e := range entries {
		if !entryID.MatchString(e.ID) {
			return awslocal.BadRequest("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores.")
		}
		if seen[e.ID] {
			return awslocal.BadRequest("BatchEntryIdsNotDistinct", "Id %s repeated.", e.ID)
		}
		if err := e.checkGroup(); err != nil {
			return err
		}
		seen[e.ID] = true
		size += len(e.MessageBody)
	}
	if size > sqsMaxBytes {
		return awslocal.BadRequest("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", sqsMaxBytes, size)
	}
	return nil
}
