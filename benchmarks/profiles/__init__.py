"""How often what answers a question is found by each profile, in collections of documents in Japanese and English."""
